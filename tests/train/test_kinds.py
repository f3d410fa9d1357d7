"""Teaching an encoder the kinds of damage: it learns them, and restores as it did before."""

import copy

import numpy as np
import pytest
import torch
from training_helpers import photographs

from drcnet_cli.errors import UsageError
from drcnet_cli.imageio.folder import find_pictures
from drcnet_cli.networks.airnet.config import AirNetConfig
from drcnet_cli.networks.airnet.network import AirNet
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.train.cache import PictureCache
from drcnet_cli.train.kinds import (
    BATCH,
    Accuracy,
    KindSource,
    Trial,
    check_kinds,
    measure_kinds,
    teach_kinds,
)

CONFIG = AirNetConfig(4, 1, 1, (4, 6, 8), shrink=2, input_skip=True)
KINDS = ("nothing", "gaussian-50", "haze")


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return find_pictures(photographs(tmp_path_factory.mktemp("clean"), 6))


def fresh() -> tuple[AirNet, CheckpointInfo]:
    torch.manual_seed(1)
    return AirNet(CONFIG).eval(), CheckpointInfo(CONFIG, "tiny", "auto", 64, arch="airnet")


def test_what_is_taught_is_told_apart_and_restoring_stays_as_it_was(clean):
    network, info = fresh()
    before, x = copy.deepcopy(network), torch.rand(2, 3, 20, 30)
    told: list[tuple[int, int]] = []
    info = teach_kinds(
        network,
        info,
        PictureCache(clean[:4], 16),
        KINDS,
        minutes=0.03,
        workers=0,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told and all(done <= total for done, total in told)
    assert info.prototypes is not None and info.prototypes.kinds == KINDS
    with torch.inference_mode():
        assert torch.equal(network(x), before(x))
        assert not torch.equal(network.summarise(x), before.summarise(x))
    assert not any(module.training for module in network.modules())
    exact, right = measure_kinds(
        network, info, PictureCache(clean[4:], 16), KINDS, rounds=3
    ).overall
    assert exact > 0.6 and right >= exact  # one in three by chance


def test_without_time_only_prototypes_are_found_and_twice_the_same(clean):
    network, info = fresh()
    before = copy.deepcopy(network.state_dict())
    one, two = (
        teach_kinds(
            network, info, PictureCache(clean[:3], 16), KINDS, minutes=0, workers=0
        ).prototypes
        for _ in range(2)
    )
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert one is not None and two is not None and one.to_dict() == two.to_dict()


def test_batches_have_every_kind_in_turn_and_are_functions_of_the_seed(clean):
    cache = PictureCache(clean, 16)
    (pictures, kinds), (again, _) = (next(iter(KindSource(cache, KINDS, 7))) for _ in range(2))
    assert pictures.shape == (BATCH, 3, 128, 128)
    assert kinds.tolist() == [number % 3 for number in range(BATCH)]
    assert torch.equal(pictures, again)
    assert not torch.equal(pictures, next(iter(KindSource(cache, KINDS, 8)))[0])
    levels = pictures * 255
    np.testing.assert_allclose(levels, levels.round(), atol=1e-3)


def test_the_right_task_may_be_another_kind():
    accuracy = Accuracy(
        (
            Trial("gaussian-15", "gaussian-25"),
            Trial("gaussian-15", "gaussian-15"),
            Trial("gaussian-15", "nothing"),
            Trial("rain+noise", "rain"),
        )
    )
    assert accuracy.of("gaussian-15") == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert accuracy.of("rain+noise") == (0, 0)
    assert accuracy.overall == (0.25, 0.5)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [(["nothing", "fog"], "'fog'"), (["haze"], "two"), (["haze", "haze"], "once")],
)
def test_kinds_that_cannot_be_told_apart_are_refused(kinds, said):
    with pytest.raises(UsageError) as caught:
        check_kinds(kinds)
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_a_network_without_an_encoder_cannot_learn(clean):
    config = DRCNetConfig(width=4, depth=2)
    with pytest.raises(UsageError, match="DRCNet cannot learn"):
        teach_kinds(
            DRCNet(config), CheckpointInfo(config), PictureCache(clean, 16), KINDS, minutes=0
        )


def test_damaged_photographs_are_left_out_and_counted(clean, tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(clean[0].read_bytes()[:200])
    network, info = fresh()
    learned = PictureCache([clean[0], damaged, clean[1]], 16)
    info = teach_kinds(network, info, learned, KINDS, minutes=0, workers=0)
    assert info.prototypes is not None and learned.left_out() == [damaged]
    held = PictureCache([damaged, clean[2]], 16)
    trials = measure_kinds(network, info, held, KINDS, rounds=1).trials
    assert len(trials) == len(KINDS) and held.left_out() == [damaged]
    with pytest.raises(UsageError, match="Of 2 photographs to learn from 1 can"):
        few = PictureCache([damaged, clean[0]], 16)
        teach_kinds(network, info, few, KINDS, minutes=0, workers=0)
    assert not measure_kinds(network, info, PictureCache([damaged], 16), KINDS).trials
