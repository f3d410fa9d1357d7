import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from training_helpers import photographs, picture, write_picture

from drcnet_cli.datasets.pairs import match_folders
from drcnet_cli.errors import DrcnetError, UsageError
from drcnet_cli.imageio.folder import read_rgb8
from drcnet_cli.train.prepare import CropPlan, cut_picture, prepare_folder, starts


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(8, 80), st.integers(1, 80), st.integers(0, 40))
def test_crops_lie_inside_and_leave_out_only_narrow_rests(length, size, stride, least):
    plan = CropPlan(size, stride, least=least)
    positions = starts(length, plan)
    assert positions == sorted(set(positions))
    if length <= size:
        assert positions == [0]
        return
    assert positions[0] == 0
    assert positions[-1] + size <= length
    assert length - (positions[-1] + size) <= least
    assert max(np.diff(positions), default=0) <= stride


def test_a_small_picture_is_kept_whole():
    (crop,) = cut_picture(picture(1, 20, 30), CropPlan(32, 32))
    np.testing.assert_array_equal(crop, picture(1, 20, 30))


def test_shrinking_by_two_halves_the_noise():
    noise = np.random.default_rng(0).normal(128, 4, (64, 64, 3)).round().astype(np.uint8)
    (crop,) = cut_picture(noise, CropPlan(64, 64, shrink=2))
    assert crop.shape == (32, 32, 3)
    assert crop.std() == pytest.approx(2, rel=0.1)


def test_a_folder_is_cut_and_its_tree_mirrored(tmp_path):
    write_picture(tmp_path / "in/a/b.png", 1, 50, 40)
    seen = []
    result = prepare_folder(
        tmp_path / "in",
        tmp_path / "out",
        CropPlan(32, 24, least=0),
        progress=lambda done, total: seen.append((done, total)),
    )
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in result_files(tmp_path))
    assert names == [f"a/b_c00{n}.png" for n in range(1, 5)]
    assert (result.pictures, result.written, result.failed) == (1, 4, ())
    assert seen == [(1, 1)]
    np.testing.assert_array_equal(
        read_rgb8(tmp_path / "out/a/b_c004.png"), picture(1, 50, 40)[18:, 8:]
    )


def result_files(folder):
    return [path for path in (folder / "out").rglob("*") if path.is_file()]


def test_both_sides_of_pairs_match_again(tmp_path):
    photographs(tmp_path / "lq", 2)
    photographs(tmp_path / "gt", 2)
    for side in ("lq", "gt"):
        prepare_folder(tmp_path / side, tmp_path / "cut" / side, CropPlan(24, 24))
    matching = match_folders(tmp_path / "cut/lq", tmp_path / "cut/gt")
    assert len(matching.pairs) == len(list((tmp_path / "cut/lq").iterdir())) > 2
    assert all(pair.degraded.name == pair.clean.name for pair in matching.pairs)


def test_a_damaged_picture_is_left_out_and_named(tmp_path):
    photographs(tmp_path / "in", 2)
    (tmp_path / "in/bad.png").write_bytes(b"no picture")
    result = prepare_folder(tmp_path / "in", tmp_path / "out", CropPlan(64, 64))
    assert (result.pictures, result.written) == (3, 2)
    assert "bad.png" in result.failed[0].message


def test_overwriting_leaves_no_crop_of_the_run_before(tmp_path):
    photographs(tmp_path / "in", 1)
    prepare_folder(tmp_path / "in", tmp_path / "out", CropPlan(16, 16, least=0))
    before = len(result_files(tmp_path))
    with pytest.raises(UsageError, match="holds pictures already"):
        prepare_folder(tmp_path / "in", tmp_path / "out", CropPlan(32, 32))
    result = prepare_folder(tmp_path / "in", tmp_path / "out", CropPlan(32, 32), overwrite=True)
    assert len(result_files(tmp_path)) == result.written < before


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [("none", "out", "no pictures"), ("in", "in/out", "lies within"), ("in", "in", "lies within")],
)
def test_folders_that_cannot_be_cut(tmp_path, source, destination, message):
    photographs(tmp_path / "in", 1)
    with pytest.raises(UsageError, match=message):
        prepare_folder(tmp_path / source, tmp_path / destination, CropPlan())


def test_two_pictures_of_one_name_are_refused_before_work(tmp_path):
    write_picture(tmp_path / "in/a.png", 1)
    write_picture(tmp_path / "in/a.jpg", 1)
    with pytest.raises(UsageError, match="Several pictures"):
        prepare_folder(tmp_path / "in", tmp_path / "out", CropPlan())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("values", [{"size": 4}, {"stride": 0}, {"shrink": 0}])
def test_impossible_plans(values):
    with pytest.raises(UsageError):
        CropPlan(**values)


def test_a_full_disk_is_one_sentence_and_the_rest_is_not_begun(tmp_path, monkeypatch):
    photographs(tmp_path / "in", 40)
    begun = []

    def full(path, _crop):
        begun.append(path)
        time.sleep(0.05)  # as a disk does: the first failure is seen while others are at work
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("drcnet_cli.imageio.folder.Image.Image.save", lambda *_, **__: full(_, __))
    with pytest.raises(DrcnetError, match="cannot be written: No space left") as error:
        prepare_folder(tmp_path / "in", tmp_path / "out", CropPlan(16, 16))
    assert "--overwrite" in error.value.hint
    assert len(begun) < 40
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    monkeypatch.undo()
    again = prepare_folder(tmp_path / "in", tmp_path / "out", CropPlan(16, 16), overwrite=True)
    assert (again.pictures, again.failed) == (40, ())


def test_transparency_is_laid_on_a_colour(drcnet, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGBA", (16, 16), (9, 9, 9, 0)).save(tmp_path / "in" / "a.png")
    result = drcnet("data", "prepare", "in", "out", "--background", "white", "--threads", "1")
    assert result.returncode == 0, result.stderr
    assert Image.open(tmp_path / "out/a_c001.png").getextrema() == ((255, 255),) * 3
