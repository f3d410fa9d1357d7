"""AirNet: the released code's numbers, any size, no batch mate's influence, the configuration."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.airnet import deformable
from drcnet_cli.networks.airnet.config import AirNetConfig
from drcnet_cli.networks.airnet.network import DGM, AirNet
from drcnet_cli.networks.airnet.released import convert_state
from drcnet_cli.networks.pth import read_state_dict

GOLDEN = Path(__file__).parents[2] / "golden" / "airnet_f16_g2_b2"
TINY = {"features": 6, "groups": 2, "blocks": 1, "encoder_widths": (5, 6, 7)}


def network(seed=0, **changes):
    """Build a tiny network in eval mode whose places, masks and statistics are all in use."""
    torch.manual_seed(seed)
    net = AirNet(AirNetConfig(**{**TINY, **changes})).eval()
    for name, value in net.state_dict().items():
        if ".places." in name:
            torch.nn.init.normal_(value, std=0.3)
        elif "running_mean" in name:
            torch.nn.init.normal_(value, std=0.2)
        elif "running_var" in name:
            torch.nn.init.uniform_(value, 0.5, 2)
    return net


@pytest.mark.parametrize("types", [deformable._BAG_TYPES, ()], ids=["table", "grid"])
def test_golden_values_of_the_released_code(monkeypatch, types):
    monkeypatch.setattr(deformable, "_BAG_TYPES", types)
    config, state = convert_state(read_state_dict(GOLDEN.with_suffix(".pth"), (), ""))
    net = AirNet(config).eval()
    net.load_state_dict(state)
    golden = np.load(GOLDEN.with_suffix(".npz"))
    x = torch.from_numpy(golden["input"])
    with torch.inference_mode():
        guide, embedding = net.encoder(x)
        found = {"output": net(x), "inter": guide, "fea": net.encoder.summary(guide)}
        torch.testing.assert_close(net(x, return_embedding=True)[1], embedding)
    for name, value in found.items():
        np.testing.assert_allclose(value.numpy(), golden[name], atol=1e-5, rtol=0)


def test_sizes_of_the_paper():
    with torch.device("meta"):
        net = AirNet()
    encoder, restorer = (
        sum(weight.numel() for weight in part.parameters()) for part in (net.encoder, net.restorer)
    )
    assert encoder == pytest.approx(1.32e6, rel=0.01)
    assert restorer == pytest.approx(6.29e6, rel=0.01)


@settings(deadline=None, max_examples=30)
@given(
    shrink=st.sampled_from([1, 2, 4]),
    height=st.integers(1, 21),
    width=st.integers(1, 21),
    seed=st.integers(0, 9),
)
def test_any_size_and_batch_mates_change_nothing(shrink, height, width, seed):
    net = network(seed, shrink=shrink)
    x = torch.rand(3, 3, height, width)
    with torch.inference_mode():
        image, embedding = net(x, return_embedding=True)
        assert image.shape == x.shape and embedding.shape == (3, 7)
        alone = [net(x[item : item + 1], return_embedding=True) for item in range(3)]
    torch.testing.assert_close(image, torch.cat([one[0] for one in alone]), atol=1e-5, rtol=0)
    torch.testing.assert_close(embedding, torch.cat([one[1] for one in alone]), atol=1e-5, rtol=0)


def test_the_picture_itself_is_added_where_asked_for():
    plain, skipping = network(), network(input_skip=True)
    x = torch.rand(1, 3, 8, 9)
    with torch.inference_mode():
        torch.testing.assert_close(skipping(x), plain(x) + x)


@pytest.mark.parametrize("off", ["deformable", "modulation"])
def test_a_module_without_one_half_has_only_the_other(off):
    config = AirNetConfig(**TINY)
    whole, half = DGM(config), DGM(AirNetConfig(**TINY, **{off: False}))
    kept = {name: value for name, value in whole.state_dict().items() if name in half.state_dict()}
    half.load_state_dict(kept)
    x, guide = torch.randn(1, 6, 7, 7), torch.randn(1, 5, 7, 7)
    assert whole.deform is not None and whole.modulate is not None
    other = (whole.modulate if off == "deformable" else whole.deform)(x, guide)
    torch.testing.assert_close(half(x, guide), x + other)
    net = network(**{off: False})
    assert not any({"deformable": "deform", "modulation": "modulate"}[off] in n for n in
                   net.state_dict())  # fmt: skip
    assert torch.isfinite(net(torch.rand(1, 3, 8, 8))).all()


def test_every_weight_learns():
    net = network(shrink=2).train()
    image, embedding = net(torch.rand(2, 3, 16, 16), return_embedding=True)
    (image.square().mean() + embedding.square().mean()).backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_state_is_floating_point_and_travels_as_a_plain_dictionary():
    net, other = network(), network(1)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    assert all(value.is_floating_point() for value in state.values())
    other.load_state_dict(state)
    x = torch.rand(1, 3, 9, 9)
    with torch.inference_mode():
        torch.testing.assert_close(other(x), net(x), rtol=0, atol=0)


def test_configuration_round_trip():
    config = AirNetConfig(**TINY, shrink=2, deformable=False)
    assert AirNetConfig.from_dict(config.to_dict()) == config
    assert AirNetConfig.from_dict({}) == AirNetConfig()
    assert config.multiple == 2


@pytest.mark.parametrize(
    "values",
    [
        {"features": 0},
        {"features": 10**30},
        {"features": True},
        {"features": 16.0},
        {"groups": 17},
        {"blocks": "5"},
        {"encoder_widths": [64, 128]},
        {"encoder_widths": [64, 128, 0]},
        {"encoder_widths": [64, 128, "256"]},
        {"encoder_widths": [64, 128, True]},
        {"encoder_widths": None},
        {"shrink": 3},
        {"shrink": [2]},
        {"deformable": 1},
        {"deformable": False, "modulation": False},
        {"width": 16},
    ],
)
def test_impossible_configurations(values):
    with pytest.raises(CheckpointFormatError):
        AirNetConfig.from_dict(values)
