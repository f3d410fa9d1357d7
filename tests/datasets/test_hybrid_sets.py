"""RL-Restore's, DID-MDN's and DID-HY's layouts, to measure and to train on."""

import numpy as np
import pytest
from PIL import Image
from training_helpers import picture, write_picture

from drcnet_cli.datasets.evaluation_sets import TEST_SETS, available, sets_named
from drcnet_cli.datasets.suite import find_suite
from drcnet_cli.datasets.training_sets import find_dataset
from drcnet_cli.errors import UsageError
from drcnet_cli.train.config import TrainConfig
from drcnet_cli.train.data import open_data


def side_by_side(path, number, side=16):
    """A file of two pictures, numbers `number` and `number` + 1; returns both."""
    both = picture(number, side, side), picture(number + 1, side, side)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.hstack(both)).save(path)
    return both


@pytest.mark.parametrize("place", ["test_images", "RL-Restore/data/test", "RL-Restore"])
def test_rlrestore_as_published(tmp_path, place):
    # Of the published names some lack the `_in`.
    for number, name in enumerate(("10_in.png", "1_in.png", "2.png")):
        index = name.removesuffix(".png").removesuffix("_in")
        write_picture(tmp_path / place / "severe_in" / name, number, 63, 63)
        write_picture(tmp_path / place / "severe_gt" / f"{index}_gt.png", number + 9, 63, 63)
    suite = find_suite(TEST_SETS["rlrestore-severe"], tmp_path)
    assert [case.name for case in suite.cases] == ["10_in.png", "1_in.png", "2.png"]
    for number, case in enumerate(suite.cases):
        degraded, target = case.load()
        assert np.array_equal(degraded, picture(number, 63, 63))
        assert np.array_equal(target, picture(number + 9, 63, 63))
    assert "has 3584 pictures as published; here are 3" in suite.notes[0]
    assert [found.name for found in available(tmp_path)] == ["rlrestore-severe"]
    with pytest.raises(UsageError, match="RL-Restore, mild is not in"):
        find_suite(TEST_SETS["rlrestore-mild"], tmp_path)


def test_the_three_levels_have_one_name():
    levels = ("mild", "moderate", "severe")
    assert [s.name for s in sets_named("rlrestore")] == [f"rlrestore-{level}" for level in levels]


@pytest.mark.parametrize("root", ["", "DID-MDN-datasets", "DID-MDN-datasets/DID-MDN-test"])
def test_did_mdn_lies_side_by_side(tmp_path, root):
    place = tmp_path / "DID-MDN-datasets" / "DID-MDN-test"
    rainy, clean = side_by_side(place / "0.png", 3)
    (case,) = find_suite(TEST_SETS["did-mdn"], tmp_path / root).cases
    degraded, target = case.load()
    assert np.array_equal(degraded, rainy) and np.array_equal(target, clean)


def test_did_mdn_and_did_hy_in_two_folders(tmp_path):
    for folder in ("DID-MDN-test", "DID-HY/test"):
        write_picture(tmp_path / folder / "input/1.png", 1, 16, 16)
        write_picture(tmp_path / folder / "target/1.png", 2, 16, 16)
    for name in ("did-mdn", "did-hy"):
        (case,) = find_suite(TEST_SETS[name], tmp_path).cases
        assert np.array_equal(case.load()[1], picture(2, 16, 16))


def test_pictures_side_by_side_are_trained_on(tmp_path):
    made = {}
    for density in ("Heavy", "Light"):
        for number in (0, 1, 2):
            path = tmp_path / f"DID-MDN-training/Rain_{density}/train2018new/{number}.png"
            made[density, number] = side_by_side(path, 5 * number)
    _, found, notes = find_dataset("did-mdn-train", tmp_path)
    assert {pair.group for pair in found.matching.pairs} == {"0", "1", "2"}
    assert any("12000" in note for note in notes)
    config = TrainConfig(task="did-mdn-train", data_root=str(tmp_path), holdout=0.4, val_side=16)
    data = open_data(config)
    assert data.held
    for degraded, clean in data.held.values():
        shown = [np.rint(x.transpose(1, 2, 0) * 255).astype(np.uint8) for x in (degraded, clean)]
        assert any(all(map(np.array_equal, shown, pair)) for pair in made.values())
    degraded, clean = data.source.sample(0, 16)
    shown = [np.rint(x * 255).sum() for x in (degraded, clean)]  # turned, but whole
    assert any(np.allclose(shown, [x.sum() for x in pair]) for pair in made.values())


def test_rlrestore_s_training_pictures_are_div2k_s_first(tmp_path):
    for name in ("0001.png", "0002x2.png", "0750.png", "0751.png", "0800.png", "other.png"):
        write_picture(tmp_path / "train/DIV2K" / name, 1, 96, 96)
    dataset, found, _ = find_dataset("rlrestore-train", tmp_path)
    assert [pair.name for pair in found.matching.pairs] == ["0001.png", "0002x2.png", "0750.png"]
    assert dataset.task == "hybrid"
    config = TrainConfig(task="rlrestore-train", data_root=str(tmp_path), holdout=0.4)
    assert open_data(config).summary["degradation"] == "hybrid-moderate"
    assert open_data(TrainConfig(task="rlrestore-train", data_root=str(tmp_path), holdout=0.4,
                                 degrade="hybrid")).summary["degradation"] == "hybrid"  # fmt: skip
