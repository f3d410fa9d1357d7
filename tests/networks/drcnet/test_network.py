"""The network: golden values of the released code, and what its docstrings promise."""

from pathlib import Path

import numpy as np
import pytest
import torch

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.convert import read_released
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.blocks import AdaptiveNorm, RegionNorm, SimAM
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.networks.drcnet.released import convert_state

GOLDEN = Path(__file__).parents[2] / "golden"


def small_net(**changes) -> DRCNet:
    torch.manual_seed(0)
    return DRCNet(DRCNetConfig(**{"width": 8, **changes})).eval()


@pytest.mark.parametrize(("name", "levels"), [("sf0-4", (0, 4)), ("sf2-3", (2, 3))])
def test_released_code_is_reproduced(name, levels):
    released = read_released(GOLDEN / f"drcnet_wf8_depth4_{name}.pth")
    config, state = convert_state(released, filter_levels=levels)
    net = DRCNet(config).eval()
    net.load_state_dict(state)
    golden = np.load(GOLDEN / f"drcnet_wf8_depth4_{name}.npz")
    with torch.inference_mode():
        stage1, output = net(torch.from_numpy(golden["input"]), return_stages=True)
    np.testing.assert_allclose(stage1.numpy(), golden["stage1"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(output.numpy(), golden["output"], atol=1e-5, rtol=0)


def test_full_size_has_the_papers_parameters():
    with torch.device("meta"):
        net = DRCNet(DRCNetConfig(width=64, depth=4))
    assert sum(p.numel() for p in net.parameters()) == 18_975_798


def test_defaults_are_the_papers():
    config = DRCNetConfig()
    assert (config.width, config.depth, config.threshold, config.delta) == (64, 4, 0.75, 1e-6)
    assert config.filter_levels == (0, 1, 2, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (5, 13), (8, 8), (17, 64), (33, 31)])
def test_any_size_keeps_its_shape(size):
    x = torch.rand(2, 3, *size)
    with torch.inference_mode():
        stage1, output = small_net()(x, return_stages=True)
    assert stage1.shape == output.shape == x.shape
    assert torch.isfinite(output).all()


def test_padding_is_a_reflection_of_the_image():
    net = small_net()
    x = torch.rand(1, 3, 13, 21)
    padded = torch.nn.functional.pad(x, (0, 3, 0, 3), mode="reflect")
    with torch.inference_mode():
        assert torch.equal(net(x), net(padded)[..., :13, :21])


def test_batch_mates_do_not_change_an_image():
    net = small_net()
    x = torch.rand(4, 3, 40, 48) * torch.tensor([1.0, 0.1, 0.5, 0.01]).view(4, 1, 1, 1)
    with torch.inference_mode():
        together = net(x)
        alone = torch.cat([net(x[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_is_finite_on_a_megapixel(dtype):
    # 1024 x 1024 pixels are 16 times what float16 can count.
    x = torch.rand(1, 3, 1024, 1024)
    with torch.inference_mode(), torch.autocast("cpu", dtype=dtype):
        output = small_net(width=2, depth=2)(x)  # float16 is slow on a CPU
    assert output.shape == x.shape
    assert torch.isfinite(output).all()


def test_gradients_reach_every_parameter():
    net = small_net().train()
    stage1, output = net(torch.rand(2, 3, 32, 32), return_stages=True)
    (stage1.square().mean() + output.square().mean()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    "off",
    [
        {"spatial_filter": False},
        {"energy_attention": False},
        {"identity_branch": False},
        {"spatial_filter": False, "energy_attention": False},
        {"spatial_filter": False, "identity_branch": False},
        {"energy_attention": False, "identity_branch": False},
    ],
)
def test_each_branch_can_be_switched_off(off):
    net, full = small_net(**off), small_net()
    assert sum(p.numel() for p in net.parameters()) < sum(p.numel() for p in full.parameters())
    with torch.inference_mode():
        assert torch.isfinite(net(torch.rand(1, 3, 24, 24))).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"width": 7},
        {"width": 10**9},
        {"depth": 0},
        {"depth": 40},
        {"threshold": 1.5},
        {"delta": 0.0},
        {"delta": float("inf")},
        {"filter_levels": (0, 4)},
        {"spatial_filter": False, "energy_attention": False, "identity_branch": False},
        {"block": "resblock"},
    ],
)
def test_impossible_configurations_are_refused(wrong):
    with pytest.raises(CheckpointFormatError):
        DRCNetConfig(**wrong)


@pytest.mark.parametrize(
    "values", [{"width": "64"}, {"width": True}, {"filter_levels": [0.5]}, {"wide": 64}]
)
def test_mistyped_json_is_refused(values):
    with pytest.raises(CheckpointFormatError):
        DRCNetConfig.from_dict(values)


def test_config_survives_json():
    config = DRCNetConfig(width=16, threshold=0.8, filter_levels=(2, 3), identity_branch=False)
    assert DRCNetConfig.from_dict(config.to_dict()) == config


def test_simam_is_the_papers_equation():
    y = torch.randn(2, 3, 5, 7, dtype=torch.float64).float()
    squared = (y - y.mean((2, 3), keepdim=True)) ** 2
    energy = squared / (4 * (squared.sum((2, 3), keepdim=True) / (5 * 7 - 1) + 1e-4)) + 0.5
    torch.testing.assert_close(SimAM(1e-4)(y), y * torch.sigmoid(energy))


def region_norm_by_definition(x, mask, weight, bias):
    """Fill, normalise, scale and add, as the paper writes it (float64, one image at a time)."""
    total = torch.zeros_like(x)
    for n in range(x.shape[0]):
        for region in (mask[n, 0], ~mask[n, 0]):
            count = max(int(region.sum()), 1)
            for c in range(x.shape[1]):
                mean = x[n, c][region].sum() / count
                filled = torch.where(region, x[n, c], mean)
                normalised = (filled - filled.mean()) / (filled.var(unbiased=False) + 1e-5).sqrt()
                scaled = (normalised * weight[c] + bias[c]) * (count / region.numel()) ** 0.5
                total[n, c] += scaled
    return total


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
def test_region_norm_is_the_papers_definition(share):
    torch.manual_seed(1)
    norm = RegionNorm(3)
    torch.nn.init.uniform_(norm.weight, 0.5, 2)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(2, 3, 12, 10) * 2 + 5
    mask = torch.rand(2, 1, 12, 10) < share
    expected = region_norm_by_definition(
        x.double(), mask, norm.weight.detach().double(), norm.bias.detach().double()
    )
    torch.testing.assert_close(norm(x, mask).double(), expected, atol=2e-5, rtol=0)


def test_region_split_carries_no_gradient_but_its_modulation_does():
    norm = AdaptiveNorm(4, threshold=0.5)
    norm(torch.rand(1, 4, 16, 16)).square().sum().backward()
    assert norm.map.response.weight.grad.abs().sum() > 0
