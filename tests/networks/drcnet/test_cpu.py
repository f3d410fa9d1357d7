"""The CPU inference copy: the network's numbers, whatever the shape, the mask or the switches."""

import platform
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import EXAMPLES, ROOT, photograph
from hypothesis import given, settings
from hypothesis import strategies as st
from model_helpers import network
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from drcnet_cli.networks import layers
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint
from drcnet_cli.networks.convert import read_released
from drcnet_cli.networks.drcnet.blocks import AdaptiveNorm, SimAM
from drcnet_cli.networks.drcnet.cpu import FastDRCNet, FastToImage
from drcnet_cli.networks.drcnet.cpu_norm import FastAdaptiveNorm, block_kernel, simam_weight
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.networks.drcnet.released import convert_state
from drcnet_cli.restore.restorer import Restorer

GOLDEN = Path(__file__).parents[2] / "golden"
ReleasedNetwork = runpy.run_path(str(ROOT / "benchmarks/released_network.py"))["ReleasedNetwork"]
BUNDLED = sorted((ROOT / "drcnet_cli/weights/bundled").glob("drcnet-*.safetensors"))


def photographs(count: int, height: int, width: int) -> torch.Tensor:
    pictures = [photograph(height, width, seed) for seed in range(count)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return -10 * torch.log10((a.clamp(0, 1) - b.clamp(0, 1)).square().mean()).item()


@pytest.mark.parametrize(("name", "levels"), [("sf0-4", (0, 4)), ("sf2-3", (2, 3))])
def test_golden_values_of_the_released_code(name, levels):
    released = read_released(GOLDEN / f"drcnet_wf8_depth4_{name}.pth")
    config, state = convert_state(released, filter_levels=levels)
    net, plain = DRCNet(config).eval(), ReleasedNetwork(config).eval()
    net.load_state_dict(state)
    plain.load_state_dict(state)
    golden = np.load(GOLDEN / f"drcnet_wf8_depth4_{name}.npz")
    x = torch.from_numpy(golden["input"])
    with torch.inference_mode():
        for output in (FastDRCNet(net, torch.float32)(x), plain(x)):
            np.testing.assert_allclose(output.numpy(), golden["output"], atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 99),
    width=st.sampled_from([2, 4, 6, 16]),
    depth=st.integers(1, 4),
    threshold=st.sampled_from([0.0, 0.45, 0.5, 0.55, 1.0]),
    batch=st.integers(1, 3),
    height=st.integers(1, 70),
    width_pixels=st.integers(1, 70),
)
def test_equals_the_network(seed, width, depth, threshold, batch, height, width_pixels):
    net = network(seed, width=width, depth=depth, threshold=threshold)
    x = photographs(batch, height, width_pixels)
    with torch.inference_mode():
        expected = net(x)
    # A response on the threshold may fall on either side of it: then a pixel differs by more.
    error = (FastDRCNet(net, torch.float32)(x) - expected).abs()
    assert error.mean() < 2e-5
    assert error.max() < 2e-2


SWITCHES = ("spatial_filter", "energy_attention", "identity_branch")


@pytest.mark.parametrize(
    "off",
    [{}, {"filter_levels": ()}, {"filter_levels": (1, 3)}]
    + [{name: False} for name in SWITCHES]
    + [{name: name == kept for name in SWITCHES} for kept in SWITCHES],
)
def test_each_switch(off):
    net = network(width=8, **off)
    x = photographs(2, 40, 56)
    with torch.inference_mode():
        torch.testing.assert_close(FastDRCNet(net, torch.float32)(x), net(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_bfloat16_of_each_bundled_checkpoint(path):
    net, _ = load_checkpoint(path)
    pixels = np.asarray(Image.open(EXAMPLES / "noisy/hat.jpg").convert("RGB"))[:128, :192]
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        exact = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            usual = psnr(net(x).float(), exact)
    reduced = psnr(FastDRCNet(net, torch.bfloat16)(x), exact)
    assert reduced > 54
    # Rounding to 8 bits leaves 59 dB: beyond 65 it is chance which of the two is nearer.
    assert reduced > min(usual - 1, 65)


def test_plain_operations_give_the_same(monkeypatch):
    net, x = network(), photographs(1, 32, 48)
    fused = FastDRCNet(net, torch.float32)(x)
    monkeypatch.setattr(layers, "fuses", lambda dtype: False)
    torch.testing.assert_close(FastDRCNet(net, torch.float32)(x), fused, atol=1e-6, rtol=0)


def test_fused_convolutions_are_found_here():
    # Where oneDNN is part of torch, a change of its private operations must not go unnoticed.
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    assert layers.fuses(torch.float32)


def test_batch_mates_do_not_change_an_image():
    fast = FastDRCNet(network(), torch.float32)
    x = photographs(3, 40, 48) * torch.tensor([1.0, 0.1, 0.01]).view(3, 1, 1, 1)
    alone = torch.cat([fast(x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(fast(x), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("offset", [0.0, 20.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 0.02)])
def test_region_norm_of_any_mask(monkeypatch, share, offset, dtype, tolerance):
    torch.manual_seed(1)
    norm = AdaptiveNorm(8, threshold=0.5)
    torch.nn.init.normal_(norm.norm.bias)
    y = (torch.randn(2, 16, 24, 20) + offset * torch.randn(1, 16, 1, 1)).to(dtype)
    mask = torch.rand(2, 1, 24, 20) < share
    maps = [mask.to(dtype).flatten(1), torch.full((2, 480), 1.5, dtype=dtype)]
    maps.append(torch.full((2, 480), -0.5, dtype=dtype))
    monkeypatch.setattr(FastAdaptiveNorm, "_maps", lambda *_: maps)
    with torch.inference_mode():
        first = norm.norm(y[:, :8].float(), mask) * 1.5 - 0.5
        expected = torch.cat([first, y[:, 8:].float()], dim=1)
        found = FastAdaptiveNorm(norm, dtype)(y.clone(memory_format=torch.channels_last)).float()
    assert (found - expected).square().mean().sqrt() < tolerance


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (5, 7), (32, 32)])
@pytest.mark.parametrize("delta", [1e-6, 1e-2])
@pytest.mark.parametrize("offset", [0, 100])
def test_simam_weight(size, delta, offset):
    torch.manual_seed(0)
    y = torch.randn(2, 3, *size) + offset
    expected = SimAM(delta)(y)
    torch.testing.assert_close(simam_weight(y, delta) * y, expected, atol=1e-4, rtol=1e-4)


def test_block_kernel_is_the_seven_by_seven_convolution():
    kernel, x = torch.randn(2, 3, 7, 7), torch.randn(2, 3, 16, 20)
    blocks = torch.nn.functional.conv2d(
        torch.nn.functional.pixel_unshuffle(x, 4), block_kernel(kernel), padding=1
    )
    expected = torch.nn.functional.conv2d(x, kernel, padding=3)
    found = torch.nn.functional.pixel_shuffle(blocks, 4)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_restorer_uses_it(monkeypatch):
    net = network()
    restorer = Restorer(net, CheckpointInfo(net.config), device=torch.device("cpu"))
    monkeypatch.setattr(DRCNet, "forward", lambda *_: pytest.fail("the slow path"))
    assert restorer.restore(photograph(40, 56)).shape == (40, 56, 3)


def test_operations_per_forward_are_few():
    """Guard what a machine's load does not change: each operation is a pass over memory."""

    class Count(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if not func.is_view:
                self.calls += 1
            return func(*args, **(kwargs or {}))

    net = network(width=16)
    fast, x = FastDRCNet(net, torch.bfloat16), torch.rand(1, 3, 64, 64)
    with Count() as count:
        FastDRCNet.__call__.__wrapped__(fast, x)  # inference mode hides operations from a count
    with Count() as usual, torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        net(x)
    # Processors without AVX-512 fuse nothing in bfloat16.
    assert count.calls <= (635 if layers.fuses(torch.bfloat16) else 670)
    assert count.calls < usual.calls


FAULTS = """
import resource
from drcnet_cli import settings
settings.keep_memory()
import torch
from drcnet_cli.networks.drcnet import DRCNetConfig, cpu
from drcnet_cli.networks.drcnet.network import DRCNet
torch.set_num_threads(1)
fast, x = cpu.FastDRCNet(DRCNet(DRCNetConfig(width=16)), torch.bfloat16), torch.rand(1, 3, 192, 192)
count = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    fast(x)
before = count()
for _ in range(4):
    fast(x)
print((count() - before) / 4)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept by glibc alone")
def test_a_forward_takes_no_new_pages():
    """Memory that went back to the system comes as pages to be cleared: 2,000 of them without."""
    command = [sys.executable, "-c", FAULTS]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert float(found.stdout) < 200


@pytest.mark.parametrize("size", [(6, 10), (7, 10), (5, 3)])
def test_four_pixels_at_once_are_the_convolution(size):
    torch.manual_seed(0)
    conv, x = torch.nn.Conv2d(5, 3, 3, padding=1), torch.randn(2, 5, *size)
    with torch.inference_mode():
        found = FastToImage(conv, torch.float32)(x.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(found, conv(x), atol=1e-5, rtol=0)


def test_blocks_become_pixels_as_by_pixel_shuffle():
    blocks = torch.randn(2, 3 * 16, 5, 4)
    shuffled = torch.nn.functional.pixel_shuffle(blocks, 4)
    ordered = blocks.unflatten(1, (3, 16)).transpose(1, 2).flatten(1, 2)
    assert torch.equal(layers.to_pixels(ordered, 4), shuffled)
