"""Looking at a picture before restoring it: what is seen, and who restores."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.airnet.config import AirNetConfig
from drcnet_cli.networks.airnet.network import AirNet
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.prototypes import Prototypes
from drcnet_cli.restore.config import LoadedModel, RestoreConfig, open_model
from drcnet_cli.restore.diagnosis import PATCH, Diagnosis, cut_patches, diagnose
from drcnet_cli.restore.experts import LookingRestorer
from drcnet_cli.restore.restorer import Restorer

CONFIG = AirNetConfig(8, 1, 1, (4, 4, 4), shrink=2, input_skip=True)
CPU = torch.device("cpu")
KINDS = ("nothing", "gaussian-25", "rain", "haze", "rain+gaussian-25")


def photograph(height: int = 150, width: int = 300, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


class Named(Restorer):
    """A restorer that adds a number to every pixel, so that one can see who was asked."""

    def __init__(self, name: str, number: int) -> None:
        self.info = CheckpointInfo(CONFIG, name)
        self.number = number

    def restore(self, pixels, on_progress=lambda _: None):
        on_progress(1.0)
        return (pixels.astype(int) + self.number).astype(pixels.dtype)

    def remark(self) -> str:
        return f"{self.info.name} was here"


EXPERTS = {"denoise": Named("n", 1), "derain": Named("r", 10), "dehaze": Named("h", 100)}


def seeing(monkeypatch, **shares: float) -> None:
    """Have every picture look like this; `_` stands for `+` and `-`."""
    full = {kind: shares.get(kind.replace("+", "_").replace("-", "_"), 0.0) for kind in KINDS}
    monkeypatch.setattr("drcnet_cli.restore.experts.diagnose", lambda *_: Diagnosis(full))


def looking(**settings) -> LookingRestorer:
    torch.manual_seed(0)
    info = CheckpointInfo(CONFIG, "all", "auto", 64, arch="airnet")
    settings = {"experts": lambda task, notify: EXPERTS[task], **settings}
    return LookingRestorer(AirNet(CONFIG), info, device=CPU, **settings)


@pytest.mark.parametrize(
    ("shares", "added", "by"),
    [
        ({"nothing": 0.9, "haze": 0.1}, 0, []),
        ({"gaussian_25": 0.6, "haze": 0.4}, 1, ["n"]),
        ({"rain": 0.5, "nothing": 0.3, "haze": 0.2}, 10, ["r"]),
        ({"haze": 0.995, "nothing": 0.005}, 100, ["h"]),
        # Haze that is not certain is left; noise beside it is not.
        ({"haze": 0.6, "nothing": 0.4}, 0, []),
        ({"haze": 0.4, "gaussian_25": 0.6}, 1, ["n"]),
        # Two kinds that call for noise's removal, neither of them the likeliest.
        ({"haze": 0.4, "gaussian_25": 0.3, "rain_gaussian_25": 0.3}, 1, ["n"]),
        # What came last is undone first.
        ({"rain_gaussian_25": 0.6, "rain": 0.4}, 11, ["n", "r"]),
    ],
)
def test_what_is_wrong_decides_who_restores(monkeypatch, shares, added, by):
    seeing(monkeypatch, **shares)
    picture, told = photograph() // 2, []
    restorer = looking(explain=True)
    restored = restorer.restore(picture, told.append)
    np.testing.assert_array_equal(restored, picture + added)
    assert restored is not picture
    record = restorer.damage()
    assert record is not None and record["restored_by"] == by
    assert sum(record["shares"].values()) == pytest.approx(1)
    assert sum(told) == pytest.approx(1)
    remark = restorer.remark()
    assert ("left as is" in remark) == (not by)
    assert all(f"{name} was here" in remark for name in by)


def test_who_restores_tells_of_changes_of_plan_as_the_others_do(monkeypatch):
    def expert(task, notify):
        notify(f"{task}: less memory")
        return EXPERTS[task]

    seeing(monkeypatch, rain=1.0)
    told = []
    looking(experts=expert, notify=told.append).restore(photograph())
    assert told == ["derain: less memory"]


def test_several_things_at_once_are_said_without_being_asked_for(monkeypatch):
    seeing(monkeypatch, rain_gaussian_25=0.9, nothing=0.1)
    both = looking()
    both.restore(photograph())
    assert "restored by n, then r" in both.remark()
    seeing(monkeypatch, rain=1.0)
    both.restore(photograph())
    assert both.remark() == "r was here"


def test_without_experts_the_network_restores_everything_and_gray_stays_gray(monkeypatch):
    seeing(monkeypatch, haze=1.0)
    alone, plain = looking(experts=None), looking()
    for picture in (photograph(), np.repeat(photograph(channels=1), 3, axis=2)):
        restored = alone.restore(picture)
        np.testing.assert_array_equal(restored, Restorer.restore(plain, picture))
        assert alone.diagnosis is not None and alone.diagnosis.restored_by == ("all",)
    assert (restored[..., 0] == restored[..., 1]).all()
    assert alone.remark() == ""  # nobody asked it to explain


def prototypes(channels: int = 4) -> Prototypes:
    places = np.arange(len(KINDS), dtype=float)[:, None]
    return Prototypes(KINDS, np.ones((1, channels)), places)


@pytest.mark.parametrize("size", [(1, 1), (5, 400), (PATCH, PATCH), (700, 90), (1000, 1100)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pictures_of_any_size_and_type_are_looked_at(size, dtype):
    picture = photograph(*size)
    if dtype != np.uint8:
        picture = (picture / 255 * (1 if dtype == np.float32 else 65535)).astype(dtype)
    patches = cut_patches(picture)
    assert 1 <= len(patches) <= 16
    assert patches.shape[1:] == (3, min(size[0], PATCH), min(size[1], PATCH))
    assert patches.dtype == np.float32 and patches.min() >= 0 and patches.max() <= 1
    info = CheckpointInfo(CONFIG, arch="airnet", prototypes=prototypes())
    found = diagnose(AirNet(CONFIG).eval(), info, CPU, picture)
    assert set(found.shares) == set(KINDS)
    assert sum(found.shares.values()) == pytest.approx(1)


def test_patches_reach_all_four_corners_and_gray_has_three_channels():
    picture = photograph(900, 700)
    patches = cut_patches(picture)
    assert len(patches) == 16
    corner = picture[-PATCH:, -PATCH:].transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(patches[-1], corner, atol=1e-6)
    gray = cut_patches(photograph(40, 40, 1))
    assert gray.shape == (1, 3, 40, 40) and (gray[:, 0] == gray[:, 2]).all()


def test_shares_of_kinds_add_up_by_what_undoes_them():
    found = Diagnosis({"nothing": 0.1, "gaussian-15": 0.3, "camera": 0.2, "rain+noise": 0.4})
    assert found.by_task == {"denoise": pytest.approx(0.9), "derain": pytest.approx(0.4)}
    assert found.likeliest == "rain+noise"
    assert "rain+noise 40%, gaussian-15 30%" in found.describe()


def test_a_network_without_prototypes_cannot_explain():
    info = CheckpointInfo(CONFIG, "mute", "auto", 64, arch="airnet")
    model = LoadedModel(AirNet(CONFIG).eval(), info, CPU, "float32")
    assert type(model.restorer()) is Restorer
    with pytest.raises(UsageError, match="mute cannot tell"):
        model.restorer(explain=True)
    assert type(replace(model, info=replace(info, prototypes=prototypes())).restorer()) is (
        LookingRestorer
    )


def test_auto_with_a_network_of_one_task_is_refused(tiny_weights):
    with pytest.raises(UsageError, match="auto"):
        open_model(RestoreConfig(tiny_weights, "auto"))


@pytest.mark.parametrize(("strength", "added"), [(0.0, 0), (0.5, 55), (1.0, 110)])
def test_strength_is_of_all_steps_together(monkeypatch, strength, added):
    experts = {"denoise": Named("n", 10), "derain": Named("r", 100)}
    seeing(monkeypatch, rain_gaussian_25=1.0)
    picture = photograph() // 2
    restorer = looking(experts=lambda task, notify: experts[task], strength=strength)
    restored = restorer.restore(picture)
    np.testing.assert_array_equal(restored, picture + added)


def test_a_series_is_restored_as_its_first_picture_needs_it(monkeypatch):
    restorer, picture = looking(), photograph() // 2
    for first, added in (({"rain": 1.0}, 10), ({"gaussian_25": 1.0}, 1)):
        restorer.begin_series()
        seeing(monkeypatch, **first)
        np.testing.assert_array_equal(restorer.restore(picture), picture + added)
        seeing(monkeypatch, nothing=1.0)
        np.testing.assert_array_equal(restorer.restore(picture), picture + added)
