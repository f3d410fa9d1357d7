"""AirNet's own training sets as one: each degradation in turn, from pictures of its own."""

import numpy as np
import pytest
from training_helpers import tiny, write_picture

from drcnet_cli.datasets.training_sets import MIXED_SETS
from drcnet_cli.errors import UsageError
from drcnet_cli.imageio.folder import read_rgb8
from drcnet_cli.train.data import open_data
from drcnet_cli.train.loop import train
from drcnet_cli.train.samples import to_unit_chw

KINDS = tuple(MIXED_SETS["airnet5"].parts)


@pytest.fixture
def sets(tmp_path):
    """Write a few pictures of each set; `airnet5` trains on them all."""
    for number in range(6):
        write_picture(tmp_path / "BSD400" / f"test_{number}.png", number)
        write_picture(tmp_path / "WED" / f"{number}.bmp", 10 + number)
        for side in ("rain", "norain"):
            write_picture(tmp_path / "RainTrainL" / f"{side}-{number}.png", 20 + number)
        write_picture(tmp_path / "OTS" / "clear" / f"{number}.png", 30 + number)
        write_picture(tmp_path / "OTS" / "part1" / f"{number}_0.8_0.1.png", 40 + number)
    return tmp_path


def config(sets, **settings):
    settings = {"task": "airnet5", "data_root": str(sets), "degrade": "", "clean": (), **settings}
    return tiny(sets, sets / "run", **settings)


def places(sample, folder) -> bool:
    """Tell whether a sample's clean crop is of a picture in the folder."""
    crop = sample[1]
    pictures = [to_unit_chw(read_rgb8(path)) for path in folder.rglob("*.*")]
    turned = [np.rot90(p, k, (1, 2)) for p in pictures for k in range(4)]
    turned += [p[:, :, ::-1] for p in turned]
    first = crop[:, 0, 0]
    for picture in turned:
        hits = np.argwhere(np.all(picture == first[:, None, None], axis=0))
        for top, left in hits:
            part = picture[:, top : top + crop.shape[1], left : left + crop.shape[2]]
            if part.shape == crop.shape and np.array_equal(part, crop):
                return True
    return False


def test_kinds_take_turns_each_from_its_own_set(sets):
    data = open_data(config(sets))
    assert {name.split("/")[0] for name in data.held} == set(KINDS)
    for number in range(10):
        sample = data.source.sample(number, 12)
        kind = KINDS[number % 5]
        folders = {"rain": ["RainTrainL"], "haze": ["OTS"]}.get(kind, ["BSD400", "WED"])
        assert any(places(sample, sets / folder) for folder in folders), (number, kind)
        if kind.startswith("gaussian"):
            sigma = float(kind.split("-")[1])
            assert np.std(sample[0] - sample[1]) * 255 < 1.3 * sigma
    crops = data.source.two_crops(7, 12)
    assert [crop.shape for crop in crops] == [(3, 12, 12)] * 3
    assert any("4744 training pictures" in note for note in data.notes)


def test_any_subset_by_flag_and_one_sentence_for_what_is_not_there(sets):
    data = open_data(config(sets, degrade="rain,gaussian-25"))
    assert {name.split("/")[0] for name in data.held} == {"rain", "gaussian-25"}
    with pytest.raises(UsageError, match="'fog'"):
        open_data(config(sets, degrade="fog"))
    (sets / "OTS").rename(sets / "elsewhere")
    with pytest.raises(UsageError, match="RESIDE OTS is not in"):
        open_data(config(sets))
    with pytest.raises(UsageError, match="Where is AirNet's five"):
        open_data(config(sets, data_root=""))


def test_an_airnet_trains_on_them(sets):
    shape = ("features=4", "groups=1", "blocks=1", "encoder_widths=[4,4,4]", "shrink=2")
    result = train(config(sets, network="airnet", set=shape, steps=2, patches="16x5", queue=8))
    assert result.step == 2 and result.psnr is not None


def test_a_set_of_clean_pictures_trains_a_denoiser(sets):
    data = open_data(config(sets, task="wed"))
    assert data.summary["dataset"] == "WED" and data.summary["degradation"] == "noise"
