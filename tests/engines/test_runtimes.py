"""Backends: the same pictures as torch gives, and clear words where that cannot be."""

import numpy as np
import pytest
import torch
from conftest import photograph, save_photograph
from PIL import Image
from torch import nn

from drcnet_cli.api import load_model, restore_image
from drcnet_cli.engines import check_backend, check_installed, load_library, make_engine
from drcnet_cli.errors import DeviceError, UsageError
from drcnet_cli.networks.airnet.config import AirNetConfig
from drcnet_cli.networks.airnet.network import AirNet
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import TileOptions

CPU = torch.device("cpu")
BACKENDS = ["onnx", "openvino"]


def needs(backend: str) -> None:
    for module in {"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}[backend]:
        pytest.importorskip(module, reason=f"needs drcnet[{backend}]")


def network(**changes) -> DRCNet:
    torch.manual_seed(4)
    return DRCNet(DRCNetConfig(**{"width": 4, "threshold": 0.55, **changes})).eval()


def restored(
    net: DRCNet, pixels: np.ndarray, backend: str | None, tiling: TileOptions
) -> np.ndarray:
    info = CheckpointInfo(net.config)
    engine = make_engine(backend, net, info) if backend else None
    return Restorer(net, info, device=CPU, engine=engine, tiling=tiling).restore(pixels)


def test_what_the_runtime_cannot_compute_is_said(monkeypatch):
    needs("onnx")
    from drcnet_cli.engines import runtimes

    unheard = (
        "(string[1,1,3,3] x, float[1,2,2,2] g) => (string[1,1,2,2] y) { y = GridSample (x, g) }"
    )
    model = '<ir_version: 9, opset_import: ["": 19]> probe ' + unheard
    monkeypatch.setattr(runtimes, "_PROBE", model)
    with pytest.raises(UsageError, match="cannot compute this on a CPU") as caught:
        runtimes.OnnxRuntime(runtimes.parser.parse_model(model).SerializeToString(), 1)
    assert "--opset 18" in caught.value.hint
    # Then nothing is written that needs it.
    runtimes.best_opset.cache_clear()
    assert runtimes.best_opset("onnx") == 18
    runtimes.best_opset.cache_clear()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shrink", [1, 4])
def test_the_same_picture_of_airnet(backend, shrink):
    needs(backend)
    torch.manual_seed(0)
    config = AirNetConfig(
        features=6, groups=1, blocks=1, encoder_widths=(5, 6, 7), shrink=shrink, input_skip=True
    )
    net, info = AirNet(config).eval(), CheckpointInfo(config, arch="airnet")
    for name, value in net.state_dict().items():
        if ".places." in name:
            torch.nn.init.normal_(value, std=0.3)
    pixels, tiling = photograph(45, 61), TileOptions(32, 8)
    ours, theirs = (
        Restorer(net, info, device=CPU, engine=engine, tiling=tiling).restore(pixels).astype(int)
        for engine in (None, make_engine(backend, net, info))
    )
    assert np.abs(ours - theirs).max() <= 1
    assert (ours != theirs).mean() < 0.01
    assert np.abs(ours - pixels).max() > 1  # the network does something


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("size", "depth", "tiling"),
    [
        ((70, 90), 4, TileOptions(32, 8, 5)),  # a last batch of another size
        ((45, 61), 4, TileOptions(0)),
        ((24, 40), 6, TileOptions(24, 0)),  # tiles that are no multiple of what this network halves
    ],
)
def test_the_same_picture(backend, size, depth, tiling):
    needs(backend)
    net, pixels = network(depth=depth), photograph(*size)
    ours = restored(net, pixels, None, tiling).astype(int)
    theirs = restored(net, pixels, backend, tiling).astype(int)
    differs = np.abs(ours - theirs)
    assert differs.max() <= 2  # a response on the threshold may fall on either side
    assert (differs > 0).mean() < 0.01


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_shape_that_keeps_coming_and_others_between(backend, monkeypatch):
    needs(backend)
    if backend == "openvino":
        monkeypatch.setattr("drcnet_cli.engines.runtimes.OFTEN", 1)
    net = network(width=2, depth=2)
    engine = make_engine(backend, net, CheckpointInfo(net.config))
    for side in (16, 16, 24, 16, 24, 8):
        x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(side))
        with torch.inference_mode():
            torch.testing.assert_close(engine(x, torch.float32), net(x), atol=1e-4, rtol=0)


def test_bfloat16_is_openvinos_alone():
    needs("openvino")
    net = network()
    x = torch.from_numpy(photograph(64, 64)).permute(2, 0, 1)[None].float() / 255
    engine = make_engine("openvino", net, CheckpointInfo(net.config))
    with torch.inference_mode():
        error = (engine(x, torch.bfloat16) - net(x)).square().mean()
    assert error < 10**-4.5


def test_an_image_by_the_python_interface(tiny_weights):
    needs("onnx")
    pixels = photograph(50, 70)
    model = load_model(tiny_weights, backend="onnx")
    assert "backend onnx" in model.restorer().describe()
    assert "float32" in model.restorer().describe()  # the only type that it has
    usual = load_model(tiny_weights, "cpu", "float32")
    assert "backend" not in usual.restorer().describe()
    ours, theirs = (restore_image(pixels, model=network) for network in (usual, model))
    assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


def test_a_file_by_the_command(drcnet, tmp_path, tiny_weights):
    needs("onnx")
    source = save_photograph(tmp_path / "in.png")
    result = drcnet("restore", "--weights", tiny_weights, "--backend", "onnx", source, "out.png")
    assert result.returncode == 0, result.stderr
    assert "backend onnx" in result.stderr
    made = load_model(tiny_weights, "cpu", "float32").restorer()
    expected = made.restore(np.asarray(Image.open(source))).astype(int)
    assert np.abs(np.asarray(Image.open(tmp_path / "out.png"), int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (("tensorrt", "auto", "auto"), UsageError),
        (("onnx", "cuda", "auto"), DeviceError),
        (("onnx", "auto", "bfloat16"), DeviceError),
        (("openvino", "auto", "float16"), DeviceError),
    ],
)
def test_what_a_backend_lacks(asked, error, monkeypatch):
    monkeypatch.setattr("drcnet_cli.engines.find_spec", lambda _: "there")
    with pytest.raises(error):
        check_backend(*asked)


def test_what_a_backend_makes_of_auto(monkeypatch):
    monkeypatch.setattr("drcnet_cli.engines.find_spec", lambda _: "there")
    assert check_backend("onnx", "auto", "auto") == ("cpu", "float32")
    assert check_backend("openvino", "cpu", "auto") == ("cpu", "auto")
    assert check_backend("torch", "cuda", "float16") == ("cuda", "float16")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_that_is_not_installed(backend, monkeypatch):
    monkeypatch.setattr("drcnet_cli.engines.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="not installed") as caught:
        load_model("denoise", backend=backend)
    assert caught.value.hint == f"pip install 'drcnet[{backend}]'"


def test_a_library_that_cannot_be_loaded(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("raise ImportError('no such symbol')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="no such symbol"):
        load_library("broken_library", "onnx")


def test_another_kind_of_network_is_refused():
    needs("onnx")
    check_installed("onnx")
    with pytest.raises(UsageError, match="Identity"):
        make_engine("onnx", nn.Identity(), CheckpointInfo(DRCNetConfig(width=2)))


def test_memory_that_runs_out_shrinks_the_tiles(monkeypatch):
    needs("onnx")
    state = __import__("onnxruntime").capi.onnxruntime_pybind11_state
    from drcnet_cli.engines.runtimes import OnnxRuntime

    net, pixels, notes = network(width=2, depth=2), photograph(64, 64), []
    whole = OnnxRuntime.__call__

    class Starved:
        def __init__(self, session) -> None:
            self.session = session

        def run(self, outputs, inputs):
            if inputs["image"].size > 3 * 32 * 32:
                raise state.RuntimeException("Failed to allocate memory for requested buffer")
            return self.session.run(outputs, inputs)

    def call(self, batch):
        if not isinstance(self._session, Starved):
            self._session = Starved(self._session)
        return whole(self, batch)

    monkeypatch.setattr(OnnxRuntime, "__call__", call)
    info = CheckpointInfo(net.config)
    made = Restorer(
        net, info, device=CPU, engine=make_engine("onnx", net, info), tiling=TileOptions(64),
        notify=notes.append,
    )  # fmt: skip
    assert made.restore(pixels).shape == pixels.shape
    assert "tiles of 32 pixels" in notes[0]
    assert len(notes) == len(set(notes))
