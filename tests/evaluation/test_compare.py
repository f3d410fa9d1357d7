"""Comparing pictures: matched by name, scored, nothing dropped in silence."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import photograph, save_photograph
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.evaluation.compare import (
    Entry,
    choose_labels,
    match_entries,
    mean_qualities,
    record,
    score_entries,
    score_entry,
)
from drcnet_cli.evaluation.pages import compared_blocks, compared_subtitle, compared_table
from drcnet_cli.metrics import psnr, ssim
from drcnet_cli.report.blocks import Comparison, Facts, Histogram, Table
from drcnet_cli.report.pages import choose_evenly

LABELS = ("A", "B", "T")


@pytest.fixture
def folders(tmp_path):
    """Make three folders of the same three pictures, differently seeded, and one more each."""
    for seed, folder in enumerate(LABELS):
        for number, name in enumerate(["one.png", "two.png", "sub/three.png"]):
            save_photograph(tmp_path / folder / name, seed=10 * seed + number)
        save_photograph(tmp_path / folder / f"only in {folder}.png")
    return [tmp_path / folder for folder in LABELS]


def test_folders_match_by_name_and_what_is_left_is_named(folders):
    matches = match_entries(*folders, LABELS)
    assert [entry.name for entry in matches.entries] == ["one.png", "sub/three.png", "two.png"]
    assert all(
        entry.files == tuple(folder / entry.name for folder in folders) for entry in matches.entries
    )
    assert matches.unmatched == {label: (f"only in {label}.png",) for label in LABELS}
    assert matches.notes()[2] == "1 in T without a partner, left out: only in T.png."


def test_a_picture_without_a_target_is_left_out(folders):
    (folders[2] / "two.png").unlink()
    matches = match_entries(*folders, LABELS)
    assert [entry.name for entry in matches.entries] == ["one.png", "sub/three.png"]
    assert "two.png" in matches.unmatched["A"]


def test_other_file_types_and_words_for_the_sides_match(tmp_path):
    first = save_photograph(tmp_path / "a" / "rain-001.png")
    second = save_photograph(tmp_path / "b" / "rain-001.jpg")
    target = save_photograph(tmp_path / "t" / "norain-001.png")
    matches = match_entries(*(tmp_path / name for name in "abt"), LABELS)
    assert matches.entries == (Entry("rain-001.png", first, second, target),)


def test_many_unmatched_names_are_counted(tmp_path):
    save_photograph(tmp_path / "a" / "x.png")
    for number in range(9):
        save_photograph(tmp_path / "b" / f"{number}.png")
    save_photograph(tmp_path / "b" / "x.png")
    [note] = match_entries(tmp_path / "a", tmp_path / "b", None, "AB").notes()
    assert note.startswith("9 in B") and note.endswith("and 4 more.")


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (("A", "missing"), "missing"),
        (("A", "A/one.png"), "one.png is a file"),
        (("A", "empty"), "No picture in"),
    ],
)
def test_paths_that_cannot_be_compared(folders, tmp_path, paths, said):
    (tmp_path / "empty").mkdir()
    first, second = (tmp_path / path for path in paths)
    with pytest.raises(UsageError, match=said):
        match_entries(first, second, None, ("A", "B"))


def test_scores_are_those_of_the_metrics(folders):
    first, second, target = (np.asarray(Image.open(folder / "one.png")) for folder in folders)
    entry = Entry("one.png", *(folder / "one.png" for folder in folders))
    score = score_entry(entry)
    assert (score.height, score.width) == (40, 56)
    assert [quality.psnr for quality in score.qualities] == [
        psnr(first, target),
        psnr(second, target),
    ]
    assert [quality.ssim for quality in score.qualities] == [
        ssim(first, target),
        ssim(second, target),
    ]
    assert score.gain == psnr(second, target) - psnr(first, target)
    alone = score_entry(Entry("one.png", entry.first, entry.second))
    assert [quality.psnr for quality in alone.qualities] == [psnr(first, second)]
    assert alone.gain is None


def test_equal_and_tiny_pictures_have_scores_too(tmp_path):
    path = save_photograph(tmp_path / "a.png", height=4, width=4)
    [quality] = score_entry(Entry("a", path, path)).qualities
    assert (quality.psnr, quality.ssim) == (math.inf, None)
    assert quality.record() == {"psnr": None, "ssim": None}
    assert quality.cells() == ["inf", "–"]


def test_pictures_of_two_sizes_fail_alone_in_one_sentence(folders):
    save_photograph(folders[1] / "one.png", height=41)
    entries = match_entries(folders[0], folders[1], None, "AB").entries
    seen = []
    scores, failed = score_entries(entries, lambda *count: seen.append(count))
    assert [score.entry.name for score in scores] == ["sub/three.png", "two.png"]
    [error] = failed
    assert isinstance(error, ImageError)
    assert "56 × 41" in error.message and "56 × 40" in error.message
    assert "one.png" in error.message and error.hint
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (("/x/rainy", "/x/restored"), ("rainy", "restored")),
        (("/runs/1/out", "/runs/2/out"), ("1/out", "2/out")),
        (("/a/x.png", "/b/x.png", "/t/y.png"), ("a/x.png", "b/x.png", "t/y.png")),
        (("/a", "/a"), ("A", "B")),
    ],
)
def test_labels_are_as_short_as_tells_them_apart(paths, labels):
    assert choose_labels([Path(path) for path in paths]) == labels


@given(st.integers(0, 60), st.integers(1, 20))
def test_what_is_shown_is_chosen_evenly_from_end_to_end(count, wanted):
    items = list(range(count))
    chosen = choose_evenly(items, wanted)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, wanted)
    if 2 <= wanted < count:
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        steps = {after - before for before, after in itertools.pairwise(chosen)}
        assert max(steps) - min(steps) <= 1


def test_the_table_has_a_row_for_each_picture_and_one_for_the_mean(folders):
    scores, _ = score_entries(match_entries(*folders, LABELS).entries)
    table = compared_table(scores, LABELS)
    assert table.header == ["Picture", "A PSNR", "A SSIM", "B PSNR", "B SSIM", "Gain"]
    assert [row[0] for row in table.rows] == ["one.png", "sub/three.png", "two.png", "Mean of 3"]
    assert list(table.highlighted) == [3]
    mean = sum(score.qualities[1].psnr for score in scores) / 3
    assert table.rows[3][3] == f"{mean:.2f}"
    assert mean_qualities(scores)[1].psnr == pytest.approx(mean)


def test_the_record_holds_everything_in_json_types(folders):
    matches = match_entries(*folders, LABELS)
    scores, failed = score_entries(matches.entries)
    found = record(scores, LABELS, matches, failed)
    assert found["against"] == "T"
    assert set(found["means"]) == {"A", "B"}
    assert found["images"][0]["scores"]["B"]["psnr"] == scores[0].qualities[1].psnr
    assert found["unmatched"]["A"] == ["only in A.png"]


def test_the_page_reads_pictures_one_by_one_and_survives_their_loss(folders):
    matches = match_entries(*folders, LABELS)
    scores, _ = score_entries(matches.entries)
    blocks = compared_blocks(scores, LABELS, folders, matches.notes(), shown=3)
    first = next(blocks)
    assert isinstance(first, Comparison)
    assert np.array_equal(first.before, photograph(seed=0))
    assert first.target is not None and list(first.scores) == ["A", "B"]
    (folders[0] / "sub" / "three.png").unlink()
    save_photograph(folders[0] / "two.png", height=12)
    rest = list(blocks)
    assert [type(block) for block in rest] == [Table, Histogram, Table, Facts]
    left_out = rest[2].rows
    assert len(left_out) == 3 + 2
    assert "three.png does not exist" in left_out[3][0]


def test_the_subtitle_says_how_much_is_shown():
    assert compared_subtitle([None] * 30, LABELS, False, 12) == (
        "30 pictures, scored against T; 12 of them, evenly chosen, under sliders."
    )
    assert (
        compared_subtitle([None], "AB", True, 1) == "1 picture; what was left out is listed below."
    )
