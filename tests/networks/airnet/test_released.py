"""Released AirNet state dicts: recognised, sizes found, training's leftovers dropped."""

from pathlib import Path

import pytest
import torch

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.airnet.network import AirNet
from drcnet_cli.networks.airnet.released import convert_state, is_released_airnet, sniff_config
from drcnet_cli.networks.pth import read_state_dict

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def released():
    return read_state_dict(GOLDEN / "airnet_f16_g2_b2.pth", (), "")


def test_recognised_among_others(released):
    drcnet = read_state_dict(GOLDEN / "drcnet_wf8_depth4_sf0-4.pth", ("params",), "")
    assert is_released_airnet(released)
    assert not is_released_airnet(drcnet) and not is_released_airnet({})


def test_sizes_are_found(released):
    config = sniff_config(released)
    assert (config.features, config.groups, config.blocks) == (16, 2, 2)
    assert config.encoder_widths == (16, 32, 16)
    assert config.deformable and config.modulation and config.shrink == 1


def test_every_tensor_is_the_query_encoders_or_the_restorers(released):
    dropped = {name for name in released if "encoder_k" in name or "queue" in name}
    spoilt = {
        name: value + float("nan") if name in dropped else value for name, value in released.items()
    }
    config, state = convert_state(spoilt)
    assert set(state) == set(AirNet(config).state_dict())
    assert dropped and all(torch.isfinite(value).all() for value in state.values())


@pytest.mark.parametrize("half", ["dcn", "sft"])
def test_ablations_are_told_by_what_is_missing(released, half):
    kept = {name: value for name, value in released.items() if f".{half}." not in name}
    config, _ = convert_state(kept)
    assert config.deformable is (half != "dcn") and config.modulation is (half != "sft")


@pytest.mark.parametrize("name", ["R.tail.0.weight", "E.E.encoder_q.E.1.backbone.0.weight",
                                  "R.body.0.body.1.conv1.weight", "R.head.0.weight"])  # fmt: skip
def test_damaged_state_dicts(released, name):
    without = {key: value for key, value in released.items() if key != name}
    with pytest.raises(CheckpointFormatError):
        convert_state(without)
    with pytest.raises(CheckpointFormatError):
        convert_state({**released, name: torch.zeros(3, 5)})
    with pytest.raises(CheckpointFormatError):
        convert_state({**released, name: torch.tensor(1.0)})


def test_unknown_tensors_are_named(released):
    with pytest.raises(CheckpointFormatError, match=r"R\.body\.9\.weight"):
        convert_state({**released, "R.body.9.weight": torch.zeros(1)})
