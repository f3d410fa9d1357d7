"""Exported AirNets: the network's numbers, with either form of its deformable convolutions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.airnet.config import AirNetConfig
from drcnet_cli.networks.airnet.network import DCN, AirNet
from drcnet_cli.networks.airnet.released import convert_state
from drcnet_cli.networks.checkpoint import CheckpointInfo, save_checkpoint
from drcnet_cli.networks.pth import read_state_dict

pytest.importorskip("onnx", reason="needs drcnet[onnx]")
pytest.importorskip("onnxruntime", reason="needs drcnet[onnx]")

from drcnet_cli.engines.export import ParityError, check_parity, export  # noqa: E402
from drcnet_cli.engines.onnx_model import Shape, build_onnx  # noqa: E402
from drcnet_cli.engines.runtimes import OnnxRuntime, best_opset  # noqa: E402
from drcnet_cli.networks.airnet import onnx as graph  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "golden" / "airnet_f16_g2_b2"
TINY = {"features": 6, "groups": 2, "blocks": 2, "encoder_widths": (5, 6, 7)}


@pytest.fixture(params=[18, 19], ids=["grid", "deform"])
def opset(request):
    if request.param > best_opset("onnx"):
        pytest.skip("this onnxruntime has no deformable convolution on a CPU")
    return request.param


def network(places=0.3, **changes) -> AirNet:
    """Build a tiny network whose places, masks and statistics are all in use."""
    torch.manual_seed(0)
    net = AirNet(AirNetConfig(**{**TINY, **changes})).eval()
    for name, value in net.state_dict().items():
        if ".places." in name:
            torch.nn.init.normal_(value, std=places)
        elif "running_mean" in name:
            torch.nn.init.normal_(value, std=0.2)
        elif "running_var" in name:
            torch.nn.init.uniform_(value, 0.5, 2)
    return net


def info(net: AirNet) -> CheckpointInfo:
    return CheckpointInfo(net.config, "small", "auto", 64, arch="airnet")


def runtime(net: AirNet, **options) -> OnnxRuntime:
    return OnnxRuntime(build_onnx(net, info(net), **options).SerializeToString(), threads=1)


@pytest.mark.parametrize(
    "changes",
    [{}, {"shrink": 2}, {"shrink": 4, "input_skip": True}, {"input_skip": True}]
    + [{"deformable": False}, {"modulation": False}, {"groups": 1, "blocks": 1}],
)
def test_each_configuration_computes_alike_in_any_size(changes, opset):
    net = network(**changes)
    found = check_parity(net, info(net), Shape(), runtime(net, opset=opset))
    assert [item.shape[0] for item in found] == [1, 3, 1, 1]
    assert max(item.max_error for item in found) < 2e-6


def test_golden_values_of_the_released_code(opset):
    config, state = convert_state(read_state_dict(GOLDEN.with_suffix(".pth"), (), ""))
    net = AirNet(config).eval()
    net.load_state_dict(state)
    golden = np.load(GOLDEN.with_suffix(".npz"))
    restored = runtime(net, opset=opset)(golden["input"])
    np.testing.assert_allclose(restored, golden["output"], atol=1e-5, rtol=0)


def test_places_beyond_the_picture_are_zero(opset):
    net = network(places=8.0)  # a few pixels, and many times the picture
    reach = []
    dcn = next(module for module in net.modules() if isinstance(module, DCN))
    dcn.places.register_forward_hook(lambda _module, _args, out: reach.append(out[:, :18]))
    check_parity(net, info(net), Shape(1, 7, 13), runtime(net, opset=opset))
    assert (reach[0].abs() > 13).float().mean() > 0.1


def test_the_operator_set_decides_on_the_form():
    kinds = [
        {node.op_type for node in build_onnx(network(), info(network()), opset=opset).graph.node}
        for opset in (18, 19)
    ]
    assert "DeformConv" in kinds[1] - kinds[0]
    assert "GridSample" in kinds[0] - kinds[1]


def test_a_fixed_shape_keeps_to_what_the_network_shrinks():
    net = network(shrink=4)
    check_parity(net, info(net), Shape(2, 16, 24), runtime(net, shape=Shape(2, 16, 24)))
    with pytest.raises(UsageError, match="multiple of 4"):
        runtime(net, shape=Shape(1, 16, 22))


def test_half_weights_are_compared_with_rounded_ones(tmp_path, opset):
    net, path = network(), tmp_path / "exact.safetensors"
    save_checkpoint(path, net.state_dict(), info(net), dtype=torch.float32)
    files = [tmp_path / "half.onnx", tmp_path / "whole.onnx"]
    half, whole = (
        export(path, file, "onnx", half=half, opset=opset, task="auto")
        for file, half in zip(files, (True, False), strict=True)
    )
    assert max(item.max_error for item in half.parity) < 1e-5
    assert half.bytes < whole.bytes


@pytest.mark.parametrize("wrong", ["slope", "places"])
def test_a_file_that_computes_otherwise_is_not_kept(tmp_path, monkeypatch, wrong):
    net, path = network(), tmp_path / "exact.safetensors"
    save_checkpoint(path, net.state_dict(), info(net))
    if wrong == "slope":
        monkeypatch.setattr(graph, "SLOPE", 0.2)
    else:  # right and down mistaken for each other
        monkeypatch.setattr(graph, "_across_first", lambda places: places)
    with pytest.raises(ParityError, match="differs from our network"):
        export(path, tmp_path / "x.onnx", "onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_openvino_files(tmp_path):
    pytest.importorskip("openvino", reason="needs drcnet[openvino]")
    # Of more than one pixel: what OpenVINO made of a Gather after SpaceToDepth was wrong.
    net, path = network(shrink=2), tmp_path / "small.safetensors"
    save_checkpoint(path, net.state_dict(), info(net))
    done = export(path, tmp_path / "x.xml", "openvino")
    assert max(item.max_error for item in done.parity) < 1e-5
    with pytest.raises(UsageError, match="OpenVINO cannot read") as caught:
        export(path, tmp_path / "y.xml", "openvino", opset=19)
    assert caught.value.hint == "Use --opset 18"
    assert not list(tmp_path.glob("y.*"))


def test_the_command(drcnet, tmp_path):
    net, path = network(shrink=2), tmp_path / "small.safetensors"
    save_checkpoint(path, net.state_dict(), info(net))
    result = drcnet("export", "--weights", path, "--out", "small.onnx", "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["bytes"] == (tmp_path / "small.onnx").stat().st_size
    assert record["parity"][0]["shape"] == [1, 3, 2, 2]
    assert max(item["max_error"] for item in record["parity"]) < 1e-5
