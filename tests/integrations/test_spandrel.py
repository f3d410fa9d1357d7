"""Our checkpoints by spandrel's own loader: the same numbers as by ours, and no silent guesses."""

import warnings
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from drcnet_cli import load_model
from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks import NETWORKS
from drcnet_cli.networks.airnet import AirNetConfig
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.fdrnet import FDRNetConfig
from drcnet_cli.networks.spair import SPAIRConfig
from drcnet_cli.weights.manifest import load_manifest
from drcnet_cli.weights.store import bundled_path

# On Linux the index has torchvision for CUDA, whose operators a CPU's torch cannot load. spandrel
# uses none of them, and these names alone are missed when torchvision is imported.
_MISSED = torch.library.Library("torchvision", "FRAGMENT")
try:
    import torchvision as _  # noqa: F401
except RuntimeError:
    for name in ("nms", "qnms"):
        _MISSED.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
except ImportError:
    pass
spandrel = pytest.importorskip("spandrel")

from drcnet_cli.integrations.spandrel import install  # noqa: E402

BUNDLED = [bundled_path(item) for item in load_manifest().checkpoints if item.bundled]
CONFIGS = {
    "drcnet": DRCNetConfig(width=4, depth=3, threshold=0.6, filter_levels=(1,)),
    "airnet": AirNetConfig(8, 1, 2, (4, 6, 8), modulation=False, shrink=2, input_skip=True),
    "spair": SPAIRConfig((4, 6, 8), (2, 4, 4), 0.3, sparse_non_local=False, non_local=True),
    "fdrnet": FDRNetConfig(8, 2, 2, 0, 1, disentangle=False, auxiliary=False, shrink=2),
}


@pytest.fixture
def loader():
    registry = spandrel.MAIN_REGISTRY.copy()
    install(registry=registry)
    return spandrel.ModelLoader(registry=registry)


@pytest.fixture
def own(tmp_path, request):
    """Write a checkpoint of random weights, of the network that the test names."""
    torch.manual_seed(1)
    config = CONFIGS[request.param]
    info = CheckpointInfo(config, "mine", training_patch=64, arch=request.param)
    network = NETWORKS[request.param].build(config)
    save_checkpoint(tmp_path / "mine.safetensors", network.state_dict(), info)
    return tmp_path / "mine.safetensors"


def picture(height=40, width=52):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_a_bundled_checkpoint_computes_the_same(loader, path):
    ours = load_model(path, device="cpu", dtype="float32")
    info = ours.info
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = loader.load_from_file(path)
    assert model.model.config == info.config
    assert (model.purpose, model.scale, model.architecture.name) == (
        "Restoration", 1, info.architecture.title,
    )  # fmt: skip
    assert model.tags[:2] == [info.name, info.task]
    assert model.size_requirements.multiple_of == info.config.multiple
    x = picture(37, 45)
    with torch.inference_mode():
        expected = ours.restorer().compute(x, torch.float32).clamp(0, 1)
    assert (model(x) - expected).abs().max() < 1e-5


def test_tensors_are_known_in_another_number_type(loader):
    path = next(path for path in BUNDLED if path.stem == "drcnet-s-denoise")
    state = {name: value.float() for name, value in load_file(path).items()}
    model = loader.load_from_state_dict(state)
    assert "drcnet-s-denoise" in model.tags
    assert model.bfloat16()(picture(16, 16).bfloat16()).isfinite().all()


@pytest.mark.parametrize("own", CONFIGS, indirect=True)
def test_a_file_that_install_was_told_of_has_its_own_settings(loader, own):
    install(own, registry=loader.registry)
    network, info = load_checkpoint(own)
    model = loader.load_from_file(own)
    assert model.model.config == info.config and model.tags[0] == "mine"
    with torch.inference_mode():
        assert torch.equal(model(picture()), network(picture()).clamp(0, 1))


@pytest.mark.parametrize("own", CONFIGS, indirect=True)
def test_of_an_unknown_file_sizes_are_read_and_the_rest_is_said_to_be_guessed(loader, own):
    with pytest.warns(RuntimeWarning, match=r"of no checkpoint.*install.FILE") as said:
        model = loader.load_from_file(own)
    info = load_checkpoint(own)[1]
    told = NETWORKS[info.arch].read_sizes(model.model.state_dict())
    guessed = {name for name in info.config.to_dict() if name not in told}
    assert guessed and all(f"{name} " in str(said[0].message) for name in guessed)
    same = {name: getattr(info.config, name) for name in guessed}
    assert replace(model.model.config, **same) == info.config


def test_others_tensors_are_left_to_others(loader):
    with pytest.raises(spandrel.UnsupportedModelError):
        loader.load_from_state_dict({"weight": torch.zeros(3, 3)})
    state = load_file(BUNDLED[0])
    state["shallow1.weight"] = state["shallow1.weight"][:-1]
    with pytest.raises(spandrel.UnsupportedModelError):
        loader.load_from_state_dict(state)


def test_install_refuses_what_is_no_checkpoint_of_ours(tmp_path, loader):
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointFormatError, match="not a checkpoint of this package"):
        install(tmp_path / "other.safetensors", registry=loader.registry)


def test_install_is_for_all_loaders():
    before = len(spandrel.MAIN_REGISTRY)
    install()
    install()
    assert len(spandrel.MAIN_REGISTRY) == before + len(NETWORKS)
    assert "drcnet-s-denoise" in spandrel.ModelLoader().load_from_file(BUNDLED[0]).tags
