"""Growing: a wider network computes what the one before did, and its copies do not stay copies."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_helpers import network
from training_helpers import photographs, tiny

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from drcnet_cli.networks.drcnet.grow import grow
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.train.loop import train
from drcnet_cli.train.setup import open_run
from drcnet_cli.train.state import STATE_NAME

CONFIGS = [
    {},
    {"depth": 1},
    {"depth": 2, "width": 2},
    {"filter_levels": ()},
    {"filter_levels": (0, 2)},
    {"spatial_filter": False},
    {"energy_attention": False},
    {"identity_branch": False},
    {"spatial_filter": False, "energy_attention": False},
    {"threshold": 0.0},
]


def pictures(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("changes", CONFIGS, ids=str)
def test_a_grown_network_computes_the_same(changes, times):
    net = network(**changes)
    grown = grow(net, net.config.width * times, seed=3)
    assert grown.config.width == net.config.width * times
    assert grown.config.filter_levels == net.config.filter_levels
    x = pictures(21, 30)
    with torch.inference_mode():
        for ours, before in zip(
            grown(x, return_stages=True), net(x, return_stages=True), strict=True
        ):
            torch.testing.assert_close(ours, before, atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_it_computes_the_same_at_every_size(height, width, seed):
    net = network(depth=3)
    x = pictures(height, width, seed)
    with torch.inference_mode():
        torch.testing.assert_close(grow(net, 8, seed)(x), net(x), atol=1e-5, rtol=0)


def test_copies_learn_apart_and_the_seed_decides_how():
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    one, same, other = grow(net, 8, 1), grow(net, 8, 1), grow(net, 8, 2)
    weight = one.encoder1.blocks[0].energy.weight
    assert torch.equal(weight, same.encoder1.blocks[0].energy.weight)
    assert not torch.equal(weight, other.encoder1.blocks[0].energy.weight)
    one.train()(pictures(16, 16)).square().mean().backward()
    copies = one.encoder1.blocks[0].energy.weight.grad.unflatten(0, (-1, 2))
    assert not torch.allclose(copies[:, 0], copies[:, 1])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_normalised_half_of_the_channels_stays_the_first_one():
    net = network()
    norm = grow(net, 16).encoder1.blocks[0].norm.norm
    assert torch.equal(norm.weight, net.encoder1.blocks[0].norm.norm.weight.repeat_interleave(4))


@pytest.mark.parametrize("width", [2, 6, 12, 7, 1024])
def test_what_is_no_doubling_is_refused(width):
    with pytest.raises(UsageError, match=f"width 4 cannot grow to {width}"):
        grow(DRCNet(network().config), width)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("clean"))


@pytest.fixture
def init(tmp_path):
    net = network(depth=2, threshold=0.6)
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, net.state_dict(), CheckpointInfo(net.config), dtype=torch.float32)
    return path


def test_training_starts_from_the_grown_network(clean, init, tmp_path):
    config = tiny(clean, tmp_path / "out", init=str(init), width=8, depth=0, steps=1)
    x = pictures(16, 16)
    with torch.inference_mode():
        started = open_run(config).network.eval()(x)
        torch.testing.assert_close(started, load_checkpoint(init)[0](x), atol=1e-5, rtol=0)
    train(config)
    info = load_checkpoint(tmp_path / "out" / "final.safetensors")[1]
    assert (info.config.width, info.config.depth, info.config.threshold) == (8, 2, 0.6)


def test_without_a_width_init_decides_the_network(clean, init, tmp_path):
    config = tiny(clean, tmp_path / "out", init=str(init), width=0, depth=0)
    assert open_run(config).network.config.width == 4


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"width": 2, "depth": 0}, "width 4 cannot grow to 2"),
        ({"width": 4, "depth": 3}, "has 2 levels, and --depth says 3"),
    ],
)
def test_a_network_that_cannot_come_of_init_is_refused(clean, init, tmp_path, wanted, message):
    with pytest.raises(UsageError, match=message):
        train(tiny(clean, tmp_path / "out", init=str(init), steps=1, **wanted))


def test_a_grown_run_goes_on_by_the_same_command(clean, init, tmp_path):
    out = tmp_path / "out"
    train(tiny(clean, out, init=str(init), width=8, depth=0, steps=1))
    assert train(tiny(clean, out, init=str(init), width=8, depth=0, steps=2)).step == 2
    with pytest.raises(UsageError, match="width was 8"):
        train(tiny(clean, out, init=str(init), width=16, depth=0, steps=3))
    with pytest.raises(UsageError, match="width was 8"):
        train(tiny(clean, out, init=str(init), width=0, depth=0, steps=3))


def test_states_from_before_widths_could_be_left_unset_go_on(clean, init, tmp_path, monkeypatch):
    """They recorded 16, whatever --init made of it."""
    out = tmp_path / "out"
    train(tiny(clean, out, init=str(init), width=0, depth=0, steps=1))
    path = out / STATE_NAME
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    described = json.loads(header["__metadata__"]["drcnet_training_state"])
    described["config"].update(width=16, depth=4)
    header["__metadata__"]["drcnet_training_state"] = json.dumps(described)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    assert train(tiny(clean, out, init=str(init), width=0, depth=0, steps=2)).step == 2
