"""The limit on features: the same in every form of the network, and no picture comes near it."""

import pytest
import torch
from model_helpers import network
from training_helpers import photographs, tiny

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.blocks import DFRBlock
from drcnet_cli.networks.drcnet.cpu import FastDRCNet
from drcnet_cli.train.loop import train
from drcnet_cli.weights.manifest import _config


def limited(limit: float | tuple[int, ...] | None, times: float = 8.0):
    """Make a network whose blocks multiply: without a limit of 1, features pass it."""
    net = network(width=4, depth=3, feature_limit=limit)
    with torch.no_grad():
        for block in net.modules():
            if isinstance(block, DFRBlock):
                block.energy.weight.mul_(times)
    return net


def largest(net, x: torch.Tensor) -> list[tuple[float, float]]:
    """Give (largest feature, limit) of each block."""
    found = []
    hooks = [
        block.register_forward_hook(
            lambda block, _, out: found.append((out.abs().max().item(), block.limit))
        )
        for block in net.modules()
        if isinstance(block, DFRBlock)
    ]
    with torch.inference_mode():
        net(x)
    for hook in hooks:
        hook.remove()
    return found


PICTURES = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(1))


def test_no_feature_passes_its_levels_limit():
    assert any(size > 1 for size, _ in largest(limited(None), PICTURES))
    found = largest(limited(1.0), PICTURES)
    assert [limit for _, limit in found] == [1.0, 4.0, 16.0] * 2
    assert all(size <= limit for size, limit in found)
    assert any(size == limit for size, limit in found)


def test_each_level_may_have_a_limit_of_its_own():
    found = largest(limited((1, 30, 2)), PICTURES)
    assert [limit for _, limit in found] == [1, 30, 2] * 2
    assert all(size <= limit for size, limit in found)


def test_the_fast_form_has_it_too():
    net = limited(1.0)
    with torch.inference_mode():
        expected = net(PICTURES)
        assert not torch.allclose(expected, limited(None)(PICTURES), atol=1e-3)
    torch.testing.assert_close(
        FastDRCNet(net, torch.float32)(PICTURES), expected, atol=1e-5, rtol=0
    )


def test_an_exported_graph_has_it_too():
    pytest.importorskip("onnxruntime")
    from drcnet_cli.engines.onnx_model import build_onnx
    from drcnet_cli.engines.runtimes import OnnxRuntime

    net = limited(1.0)
    model = build_onnx(net, CheckpointInfo(net.config))
    found = OnnxRuntime(model.SerializeToString(), threads=1)(PICTURES.numpy())
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(found), net(PICTURES), atol=1e-5, rtol=0)


def test_a_lone_pixel_that_grows_from_block_to_block_is_held():
    x = torch.full((1, 3, 64, 64), 0.5)
    x[..., 30, 30] = 1.0
    sizes = {limit: [size for size, _ in largest(limited(limit, 1e4), x)] for limit in (None, 64.0)}
    assert max(sizes[None]) > 1e8
    assert max(sizes[64.0]) <= 64 * 16


def test_checkpoints_keep_it_and_those_without_say_nothing_of_it(tmp_path):
    path = tmp_path / "net.safetensors"
    for limit in (None, 48.0, (8, 128, 1024)):
        net = limited(limit)
        assert ("feature_limit" in net.config.to_dict()) == (limit is not None)
        save_checkpoint(path, net.state_dict(), CheckpointInfo(net.config))
        assert load_checkpoint(path)[1].config == net.config
        assert _config("drcnet", net.config.to_dict(), "here") == net.config.to_dict()


@pytest.mark.parametrize(
    "limit",
    [0.5, 0, -1, 1e7, float("nan"), "64", True, [], [8, 8], [8, 8, 8, 0], [8, 8, 8, 0.5]],
)
def test_impossible_limits_are_refused(limit):
    with pytest.raises(CheckpointFormatError, match="feature_limit"):
        DRCNetConfig.from_dict({**DRCNetConfig().to_dict(), "feature_limit": limit})


@pytest.mark.parametrize(("given", "limit"), [({}, 64.0), ({"feature_limit": 0.0}, None)])
def test_training_writes_it_into_checkpoints(tmp_path, given, limit):
    clean = photographs(tmp_path / "clean")
    train(tiny(clean, tmp_path / "out", steps=1, **given))
    assert load_checkpoint(tmp_path / "out/final.safetensors")[1].config.feature_limit == limit


def test_training_keeps_a_checkpoints_own_limits(tmp_path):
    clean, path = photographs(tmp_path / "clean"), tmp_path / "net.safetensors"
    net = limited((8, 128, 1024))
    save_checkpoint(path, net.state_dict(), CheckpointInfo(net.config))
    begun = {"steps": 1, "init": str(path), "width": 0, "depth": 0}
    train(tiny(clean, tmp_path / "kept", **begun))
    kept = load_checkpoint(tmp_path / "kept/final.safetensors")[1].config
    assert kept.feature_limit == (8, 128, 1024)
    train(tiny(clean, tmp_path / "none", **begun, feature_limit=0.0))
    assert load_checkpoint(tmp_path / "none/final.safetensors")[1].config.feature_limit is None
