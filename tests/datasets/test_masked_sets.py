"""Raindrop and shadow sets as they are published, with masks where they have any."""

import numpy as np
import pytest
from PIL import Image
from training_helpers import write_picture

from drcnet_cli.datasets.evaluation_sets import TEST_SETS
from drcnet_cli.datasets.suite import find_suite, pairs_suite
from drcnet_cli.datasets.training_sets import find_dataset


def make(root, *names):
    for number, name in enumerate(names):
        write_picture(root / name, number, 8, 8)


def istd(root, part, *targets):
    make(root, *(f"{part}/{part}_{side}/9-{n}.png" for side in ("A", "B") for n in (1, 2)))
    make(root, *(f"{part}/{target}/9-{n}.png" for target in targets for n in (1, 2)))


def test_istd_and_its_adjusted_targets(tmp_path):
    istd(tmp_path / "ISTD_Dataset", "test", "test_C", "test_C_fixed_official")
    istd(tmp_path / "ISTD_Dataset", "train", "train_C")
    plain, adjusted = (find_suite(TEST_SETS[name], tmp_path) for name in ("istd", "istd-plus"))
    assert [case.name for case in plain.cases] == ["9-1.png", "9-2.png"]
    assert "test_C," in plain.layout and "test_C_fixed_official" in adjusted.layout
    assert plain.cases[0].load_mask is not None
    assert plain.cases[0].load_mask().shape == (8, 8)
    _, found, notes = find_dataset("istd-train", tmp_path)
    pair = found.matching.pairs[0]
    assert (pair.degraded.parent.name, pair.clean.parent.name) == ("train_A", "train_C")
    assert pair.mask is not None and pair.mask.parent.name == "train_B"
    assert {pair.group for pair in found.matching.pairs} == {"9"}
    assert any("1330" in note for note in notes)


def test_istd_plus_in_a_folder_of_its_own(tmp_path):
    istd(tmp_path / "ISTD+", "test", "test_C")
    assert len(find_suite(TEST_SETS["istd-plus"], tmp_path).cases) == 2


def test_srd_with_and_without_masks(tmp_path):
    make(tmp_path / "SRD/Test", "shadow/IMG_1.jpg", "shadow_free/IMG_1_no_shadow.jpg")
    (case,) = find_suite(TEST_SETS["srd"], tmp_path).cases
    assert (case.name, case.load_mask) == ("IMG_1.jpg", None)
    make(tmp_path / "SRD/Test", "mask/IMG_1.png")
    (case,) = find_suite(TEST_SETS["srd"], tmp_path).cases
    assert case.load_mask is not None
    make(tmp_path / "SRD/Train", "shadow/a.jpg", "shadow_free/a_no_shadow.jpg")
    assert len(find_dataset("srd-train", tmp_path)[1].matching.pairs) == 1


@pytest.mark.parametrize("root", ["raindrop_data", ""])
def test_raindrops(tmp_path, root):
    for part in ("train", "test_a", "test_b"):
        make(tmp_path / root / part, "data/0_rain.png", "gt/0_clean.png")
    for letter in "ab":
        suite = find_suite(TEST_SETS[f"raindrop-{letter}"], tmp_path)
        assert [case.name for case in suite.cases] == ["0_rain.png"]
        assert f"test_{letter}" in suite.layout
    if root:
        _, found, _ = find_dataset("raindrop-train", tmp_path)
        assert found.matching.pairs[0].clean.parts[-3:] == ("train", "gt", "0_clean.png")


def test_spanet(tmp_path):
    make(
        tmp_path / "real_test_1000", "rain/000.png", "rain/001.png", "gt/000gt.png", "gt/001gt.png"
    )
    suite = find_suite(TEST_SETS["spanet"], tmp_path)
    assert [case.name for case in suite.cases] == ["000.png", "001.png"]


def test_pairs_of_ones_own_with_masks(tmp_path):
    make(tmp_path, "lq/1.png", "gt/1.png")
    mask = np.zeros((8, 8), np.uint8)
    mask[2:4] = 255
    (tmp_path / "mask").mkdir()
    Image.fromarray(mask).save(tmp_path / "mask/1.png")
    (case,) = pairs_suite(*(tmp_path / name for name in ("lq", "gt", "mask"))).cases
    assert case.load_mask is not None
    assert np.array_equal(case.load_mask(), mask > 0)
