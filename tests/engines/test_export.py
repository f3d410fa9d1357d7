"""Exported files: the network's numbers, what they say of themselves, and when they are kept."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, save_photograph
from model_helpers import network
from PIL import Image

from drcnet_cli.cli.export import choose_format
from drcnet_cli.cli.export import export as export_command
from drcnet_cli.errors import UsageError
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from drcnet_cli.networks.convert import read_released
from drcnet_cli.networks.drcnet.blocks import response_distances
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.networks.drcnet.released import convert_state
from drcnet_cli.weights.store import describe_file

onnx = pytest.importorskip("onnx", reason="needs drcnet[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs drcnet[onnx]")

from drcnet_cli.engines.export import (  # noqa: E402
    CLEARANCE,
    ParityError,
    check_parity,
    clear_pictures,
    export,
    parity_shapes,
)
from drcnet_cli.engines.onnx_model import Shape, build_onnx  # noqa: E402
from drcnet_cli.engines.runtimes import OnnxRuntime  # noqa: E402
from drcnet_cli.networks.drcnet import onnx as graph  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "golden"
SWITCHES = ("spatial_filter", "energy_attention", "identity_branch")


def runtime(net: DRCNet, **options) -> OnnxRuntime:
    model = build_onnx(net, CheckpointInfo(net.config), **options)
    return OnnxRuntime(model.SerializeToString(), threads=1)


@pytest.fixture
def weights(tmp_path) -> Path:
    net = network(width=2)
    info = CheckpointInfo(net.config, "small", "denoise", 64, {"licence": "CC0-1.0"})
    save_checkpoint(tmp_path / "small.safetensors", net.state_dict(), info)
    return tmp_path / "small.safetensors"


@pytest.mark.parametrize(
    "changes",
    [{}, {"depth": 1}, {"depth": 2, "width": 6}, {"delta": 0.1}, {"filter_levels": ()}]
    + [{"filter_levels": (1, 3)}]
    + [{"threshold": threshold} for threshold in (0.0, 1.0)]  # a region without pixels
    + [{name: False} for name in SWITCHES]
    + [{name: name == kept for name in SWITCHES} for kept in SWITCHES],
)
def test_each_configuration_computes_alike(changes):
    net = network(**changes)
    (found,) = check_parity(net, CheckpointInfo(net.config), Shape(2, 24, 40), runtime(net))
    assert found.max_error < 1e-5
    assert found.psnr > 100


@pytest.mark.parametrize(("name", "levels"), [("sf0-4", (0, 4)), ("sf2-3", (2, 3))])
def test_golden_values_of_the_released_code(name, levels):
    config, state = convert_state(
        read_released(GOLDEN / f"drcnet_wf8_depth4_{name}.pth"), filter_levels=levels
    )
    net = DRCNet(config).eval()
    net.load_state_dict(state)
    golden = np.load(GOLDEN / f"drcnet_wf8_depth4_{name}.npz")
    np.testing.assert_allclose(runtime(net)(golden["input"]), golden["output"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("opset", [18, 20, 21])
def test_each_operator_set(opset):
    net = network(width=2)
    check_parity(net, CheckpointInfo(net.config), Shape(1, 16, 16), runtime(net, opset=opset))


@pytest.mark.parametrize("opset", [17, 999])
def test_an_operator_set_that_cannot_be_used_is_refused(opset):
    with pytest.raises(UsageError, match="Operator set"):
        runtime(network(width=2), opset=opset)


def test_parity_pictures_leave_no_doubt_about_the_regions():
    net = network(3)
    pictures = clear_pictures(net, CheckpointInfo(net.config), (1, 3, 32, 40))
    with response_distances(net) as distances, torch.inference_mode():
        net(pictures)
    assert len(distances) == 8  # the levels of both stages
    assert min(distances) > CLEARANCE


def test_parity_sizes_keep_to_what_is_fixed():
    assert parity_shapes(Shape(), 8) == [
        (1, 3, 8, 8), (3, 3, 64, 48), (1, 3, 96, 192), (1, 3, 128, 128)
    ]  # fmt: skip
    assert parity_shapes(Shape(2, 40, 64), 8) == [(2, 3, 40, 64)]


def test_a_fixed_shape_is_the_only_one(weights, tmp_path):
    export(weights, tmp_path / "fixed.onnx", "onnx", shape=Shape(1, 16, 24))
    session = onnxruntime.InferenceSession(tmp_path / "fixed.onnx")
    assert session.get_inputs()[0].shape == [1, 3, 16, 24]
    with pytest.raises(UsageError, match="multiple of 8"):
        export(weights, tmp_path / "odd.onnx", "onnx", shape=Shape(1, 16, 20))
    assert not (tmp_path / "odd.onnx").exists()


def test_a_file_says_what_it_is(weights, tmp_path):
    done = export(weights, tmp_path / "x.onnx", "onnx")
    session = onnxruntime.InferenceSession(done.file)
    facts = session.get_modelmeta().custom_metadata_map
    _, info = load_checkpoint(weights)
    assert CheckpointInfo.from_json(facts["drcnet"]) == info
    assert facts["checkpoint_sha256"] == describe_file(weights).sha256
    assert [facts[key] for key in ("name", "task", "licence", "training_patch", "multiple")] == [
        "small", "denoise", "CC0-1.0", "64", "8"
    ]  # fmt: skip
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    assert (session.get_inputs()[0].name, session.get_outputs()[0].name) == ("image", "restored")


def test_half_weights_halve_the_file_and_change_nothing_of_a_float16_checkpoint(tmp_path):
    net, info = load_checkpoint(ROOT / "drcnet_cli/weights/bundled/drcnet-s-derain.safetensors")
    whole, halved = (build_onnx(net, info, half=half).SerializeToString() for half in (False, True))
    assert len(halved) < 0.53 * len(whole)
    pictures = clear_pictures(net, info, (1, 3, 32, 32)).numpy()
    results = [OnnxRuntime(model, 1)(pictures) for model in (whole, halved)]
    assert np.array_equal(*results)


def test_half_weights_of_a_float32_checkpoint_are_compared_with_rounded_ones(tmp_path):
    net = network(width=2)
    path = tmp_path / "exact.safetensors"
    save_checkpoint(path, net.state_dict(), CheckpointInfo(net.config), dtype=torch.float32)
    done = export(path, tmp_path / "x.onnx", "onnx", half=True)
    assert max(item.max_error for item in done.parity) < 1e-5


def test_a_file_that_computes_otherwise_is_not_kept(weights, tmp_path, monkeypatch):
    target = tmp_path / "out" / "x.onnx"
    target.parent.mkdir()
    target.write_bytes(b"before")
    monkeypatch.setattr(graph, "SLOPE", 0.25)
    with pytest.raises(ParityError, match="differs from our network"):
        export(weights, target, "onnx")
    assert target.read_bytes() == b"before"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("wrong", [lambda x: x * np.nan, lambda x: x[..., :-1]])
def test_no_number_and_another_shape_are_no_parity(wrong):
    net = network(width=2)
    run = runtime(net)
    with pytest.raises(ParityError):
        check_parity(net, CheckpointInfo(net.config), Shape(), lambda x: wrong(run(x)))


def test_a_library_that_is_not_installed_is_named_with_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UsageError) as caught:
        export_command(tmp_path / "x.onnx", task="denoise")
    assert caught.value.message.startswith("onnxruntime is not installed")
    assert caught.value.hint == "pip install 'drcnet[onnx]'"


def test_a_network_without_a_graph_is_refused_with_what_every_command_has(tmp_path):
    with pytest.raises(UsageError, match="no ONNX form of FDRNet") as caught:
        export_command(tmp_path / "x.onnx", task="hybrid")
    assert caught.value.hint == "Run it with torch: drcnet restore without --backend"


@pytest.mark.parametrize(
    ("format", "name"), [(None, "x.pt"), ("tflite", "x.tflite"), ("onnx", "x.xml")]
)
def test_formats_that_are_unknown_or_disagree_with_the_name(format, name):
    with pytest.raises(UsageError):
        choose_format(format, Path(name))


def test_format_by_the_name():
    assert choose_format(None, Path("a.ONNX")) == "onnx"
    assert choose_format(None, Path("a.xml")) == "openvino"


def test_the_command(drcnet, weights, tmp_path):
    call = ("export", "--weights", weights, "--out", "small.onnx")
    first = drcnet(*call)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("largest difference") == 4
    assert "Wrote small.onnx: small" in first.stderr
    again = drcnet(*call)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    replaced = drcnet(*call, "--overwrite", "--size", "16x24", "--batch", "1", "--json")
    record = json.loads(replaced.stdout)
    assert record["bytes"] == (tmp_path / "small.onnx").stat().st_size
    assert [item["shape"] for item in record["parity"]] == [[1, 3, 16, 24]]


@pytest.mark.parametrize("options", [{"size": "8x"}, {"size": "1x2x3"}, {"batch": "0"}])
def test_sizes_that_are_none(tmp_path, options):
    with pytest.raises(UsageError):
        export_command(tmp_path / "x.onnx", task="denoise", **options)


def test_the_weights_beside_an_openvino_model_are_not_replaced_unasked(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"mine")
    with pytest.raises(UsageError, match="x.bin exists"):
        export_command(tmp_path / "x.xml", task="denoise")
    assert (tmp_path / "x.bin").read_bytes() == b"mine"


def test_openvino_files(weights, tmp_path):
    openvino = pytest.importorskip("openvino", reason="needs drcnet[openvino]")
    done = export(weights, tmp_path / "x.xml", "openvino")
    assert max(item.max_error for item in done.parity) < 1e-5
    assert sorted(path.name for path in tmp_path.glob("*x.*")) == ["x.bin", "x.xml"]
    model = openvino.Core().read_model(tmp_path / "x.xml")
    assert model.get_rt_info(["drcnet", "licence"]).astype(str) == "CC0-1.0"
    assert model.get_rt_info(["drcnet", "multiple"]).astype(str) == "8"


def test_the_example_of_the_documentation(tmp_path, monkeypatch):
    text = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    assert len(code[1].strip().splitlines()) <= 15
    monkeypatch.chdir(tmp_path)
    picture = save_photograph(tmp_path / "noisy.jpg", height=37, width=50)
    export("denoise", tmp_path / "denoise.onnx", "onnx", shape=Shape())
    exec(compile(code[1], "docs/export.md", "exec"), {})
    pixels = np.asarray(Image.open(picture), np.float32) / 255
    net, _ = load_checkpoint(ROOT / "drcnet_cli/weights/bundled/drcnet-s-denoise.safetensors")
    with torch.inference_mode():
        expected = net(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    restored = np.asarray(Image.open(tmp_path / "restored.png"), np.float32)
    assert np.abs(restored - expected.clamp(0, 1).numpy() * 255).max() < 1
