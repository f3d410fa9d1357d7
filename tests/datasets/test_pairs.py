from pathlib import Path

import numpy as np
import pytest
from training_helpers import picture, write_picture

from drcnet_cli.datasets.pairs import Pair, match_folders, match_names, plain_name
from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.train.samples import PairSource


def partners(degraded, clean):
    """Match lists of names; give {degraded: clean}."""
    named = ({n: n for n in side} for side in (degraded, clean))
    matching = match_names(*named)  # type: ignore[arg-type]
    return {pair.name: pair.clean for pair in matching.pairs}, matching


@pytest.mark.parametrize(
    ("degraded", "clean"),
    [
        ("a.png", "a.png"),
        ("a.jpg", "a.png"),
        ("x/a.png", "x/a.png"),
        ("0001_NOISY_SRGB_010.PNG", "0001_GT_SRGB_010.PNG"),
        ("rain-001.png", "norain-001.png"),
        ("scene001/blur/blur_1.png", "scene001/gt/gt_1.png"),
        ("Canon_80D_real.JPG", "Canon_80D_mean.JPG"),
        ("GOPR0372_07_00/blur/000047.png", "GOPR0372_07_00/sharp/000047.png"),
        ("1x2.png", "1.png"),
        ("12_14.jpg", "12.jpg"),
        ("0_rain.png", "0_clean.png"),
    ],
)
def test_published_naming_schemes_match(degraded, clean):
    found, _ = partners([degraded], ["y.bmp", clean, "z.png"])
    assert found == {degraded: clean}


def test_names_decide_and_order_does_not():
    found, _ = partners(["b.png", "a.png", "c.png"], ["c.png", "b.png", "a.png"])
    assert found == {"a.png": "a.png", "b.png": "b.png", "c.png": "c.png"}


def test_exact_names_win_over_variants():
    found, _ = partners(["1.png", "1_2.png"], ["1.png", "1_2.png"])
    assert found == {"1.png": "1.png", "1_2.png": "1_2.png"}


def test_variants_of_one_picture_share_it_and_its_group():
    found, matching = partners(["1_1.jpg", "1_2.jpg", "2_1.jpg"], ["1.jpg", "2.jpg"])
    assert found == {"1_1.jpg": "1.jpg", "1_2.jpg": "1.jpg", "2_1.jpg": "2.jpg"}
    assert [pair.group for pair in matching.pairs] == ["1.jpg", "1.jpg", "2.jpg"]


def test_two_possible_partners_are_none():
    found, matching = partners(["a_noisy.png"], ["a_gt.png", "a_clean.png"])
    assert found == {}
    assert matching.unmatched_degraded == ("a_noisy.png",)


def test_several_possible_partners_are_named(tmp_path):
    _, matching = partners(["a_noisy.png", "b.png", "c.png"], ["a_gt.png", "a_clean.png", "b.png"])
    notes = " | ".join(matching.notes())
    assert "1 degraded pictures have no partner and are left out: c.png" in notes
    assert "a_noisy.png could belong to a_gt.png or a_clean.png" in notes
    for name in ("lq/a_noisy.png", "gt/a_gt.png", "gt/a_clean.png"):
        write_picture(tmp_path / name, 1)
    with pytest.raises(UsageError, match=r"a_gt\.png") as caught:
        match_folders(tmp_path / "lq", tmp_path / "gt")
    assert "more than one possible partner" in str(caught.value)


def test_leftovers_are_counted_and_named():
    _, matching = partners([f"{n}.png" for n in "abcdefgh"], ["a.png", "z.png"])
    notes = matching.notes()
    assert notes[0].startswith("7 degraded pictures have no partner and are left out: b.png, c.png")
    assert notes[0].endswith("f.png, ...")
    assert "1 clean" in notes[1]
    assert "z.png" in notes[1]


def test_names_of_only_sides_are_still_names():
    assert plain_name("gt/rain.png") == ""
    found, _ = partners(["rain.png"], ["gt.png"])  # both plain names are empty: they do match
    assert found == {"rain.png": "gt.png"}


def test_folders_without_pairs_are_refused(tmp_path):
    write_picture(tmp_path / "lq/a.png", 1)
    write_picture(tmp_path / "gt/b.png", 1)
    with pytest.raises(UsageError, match="no folder"):
        match_folders(tmp_path / "lq", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="partner of the same name"):
        match_folders(tmp_path / "lq", tmp_path / "gt")


def make_pairs(folder, count=3):
    return [
        Pair(
            f"{n}.png",
            write_picture(folder / f"lq/{n}.png", 100 + n),
            write_picture(folder / f"gt/{n}.png", n),
            str(n),
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("limit_mb", [0, 16])
def test_both_sides_are_cut_and_turned_alike(tmp_path, limit_mb):
    pairs = make_pairs(tmp_path)
    same = [Pair(p.name, p.clean, p.clean, p.group) for p in pairs]
    for number in range(12):
        degraded, clean = PairSource(same, limit_mb, 0).sample(number, 16)
        np.testing.assert_array_equal(degraded, clean)
        of_pair = PairSource(pairs, limit_mb, 0).sample(number, 16)
        np.testing.assert_array_equal(of_pair[1], clean)
        assert not np.array_equal(of_pair[0], clean)


def test_pictures_of_two_sizes_are_no_pair(tmp_path):
    bad = Pair(
        "a",
        write_picture(tmp_path / "lq/a.png", 1, 30, 30),
        write_picture(tmp_path / "gt/a.png", 1, 30, 31),
        "a",
    )
    with pytest.raises(ImageError, match=r"lq/a\.png is 30 x 30 pixels.*31 x 30"):
        PairSource([bad], 16, 0).sample(0, 16)


def test_a_patch_larger_than_the_picture_is_mirrored(tmp_path):
    pairs = make_pairs(tmp_path, 1)
    _, clean = PairSource(pairs, 16, 0).sample(0, 100)
    assert clean.shape == (3, 100, 100)
    levels = np.unique(picture(0).astype(np.float32) * np.float32(1 / 255))
    assert set(np.unique(clean)) <= set(levels)


def test_full_names_that_are_the_same_go_together():
    names = ["x.jpg", "x.png", "y.png"]
    matching = match_names(*({name: Path(folder, name) for name in names} for folder in "ab"))
    assert [(pair.name, pair.clean.name) for pair in matching.pairs] == [(n, n) for n in names]
