"""What the rest of the package needs of a network: any that offers it is restored with and trained.

The network here has nothing of DRCNet's: another configuration, another multiple, no other forms.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from conftest import photograph
from torch import nn
from training_helpers import photographs, tiny

from drcnet_cli import load_model, restore_image
from drcnet_cli.engines import make_engine
from drcnet_cli.errors import CheckpointFormatError, UsageError
from drcnet_cli.networks import NETWORKS, Architecture, NetworkConfig
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from drcnet_cli.networks.convert import convert_file
from drcnet_cli.restore.speed import measure_speed
from drcnet_cli.train.loop import train
from drcnet_cli.train.objective import OBJECTIVES, Objective


@dataclass(frozen=True)
class ToyConfig(NetworkConfig):
    channels: int = 4
    gain: float = 1.0
    bias: bool = True
    taps: tuple[int, ...] | None = None

    @property
    def multiple(self) -> int:
        return 1

    @property
    def map_channels(self) -> int:
        return self.channels

    @property
    def summary(self) -> str:
        return f"{self.channels} channels"


class Toy(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.inside = nn.Conv2d(3, config.channels, 3, padding=1, bias=config.bias)
        self.outside = nn.Conv2d(config.channels, 3, 1)
        nn.init.zeros_(self.outside.weight)
        nn.init.zeros_(self.outside.bias)

    def forward(self, x):
        return x + self.outside(self.inside(x))


class ToyObjective(Objective):
    def __init__(self, config, device, dtype, note):
        self.summary = {"kind": "none"}

    def __call__(self, model, degraded, clean):
        return (model(degraded) - clean).abs().mean()


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(NETWORKS, "toy", Architecture("toy", "Toy", ToyConfig, lambda: Toy))
    monkeypatch.setitem(OBJECTIVES, "toy", ToyObjective)


@pytest.fixture
def weights(tmp_path):
    info = CheckpointInfo(ToyConfig(), "toy", "denoise", 64, arch="toy")
    save_checkpoint(tmp_path / "toy.safetensors", Toy(info.config).state_dict(), info)
    return tmp_path / "toy.safetensors"


def test_a_checkpoint_says_whose_it_is(weights):
    network, info = load_checkpoint(weights)
    assert isinstance(network, Toy)
    assert (info.arch, info.config) == ("toy", ToyConfig())
    assert info.architecture.is_own(network)
    assert not NETWORKS["drcnet"].is_own(network)


def test_a_description_without_a_name_is_drcnets():
    text = CheckpointInfo(NETWORKS["drcnet"].config_type()).to_json()
    named = CheckpointInfo.from_json(text)
    assert CheckpointInfo.from_json(text.replace('"arch": "drcnet", ', "")) == named


def test_it_restores(weights):
    pixels = photograph(50, 70)
    model = load_model(weights, "cpu", "float32")
    assert np.array_equal(restore_image(pixels, model=model), pixels)  # it adds nothing
    report = measure_speed(model, seconds=0)
    assert report.model == "toy"


def test_forms_that_it_lacks_are_refused(weights, tmp_path):
    pytest.importorskip("onnx", reason="needs drcnet[onnx]")
    network, info = load_checkpoint(weights)
    with pytest.raises(UsageError, match="Toy"):
        make_engine("onnx", network, info)
    with pytest.raises(UsageError, match="Toy"):
        convert_file(tmp_path / "x.pth", tmp_path / "x.safetensors", network="toy")


def test_it_trains_and_goes_on(tmp_path):
    clean = photographs(tmp_path / "clean")
    config = tiny(clean, tmp_path / "out", network="toy", set=["channels=6"], steps=2)
    train(config)
    network, info = load_checkpoint(tmp_path / "out/final.safetensors")
    assert isinstance(network, Toy)
    assert info.config == ToyConfig(channels=6)
    assert train(replace(config, steps=3)).step == 3
    with pytest.raises(UsageError, match="network was 'toy'"):
        train(tiny(clean, tmp_path / "out", steps=4))


@pytest.mark.parametrize(
    "values",
    [
        {"channels": 2.0},
        {"channels": True},
        {"gain": "1"},
        {"gain": True},
        {"bias": 1},
        {"taps": 3},
        {"taps": [1, True]},
        {"taps": [1, 2.0]},
        {"colour": 1},
    ],
    ids=str,
)
def test_values_of_another_type_are_refused(values):
    with pytest.raises(CheckpointFormatError):
        ToyConfig.from_dict(values)


@pytest.mark.parametrize("taps", [None, (), (1, 2)])
def test_configurations_come_back_from_json(taps):
    config = ToyConfig(channels=2, gain=1, taps=taps)
    assert ToyConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_each_network_keeps_what_is_promised_of_it(name):
    architecture = NETWORKS[name]
    assert architecture.name == name
    config = architecture.config_type()
    assert architecture.config_type.from_dict(config.to_dict()) == config
    with torch.device("meta"):
        network = architecture.build(config)
    assert network.config == config
    assert architecture.is_own(network)
    assert config.multiple >= 1 and config.map_channels >= 1
    assert name in OBJECTIVES
