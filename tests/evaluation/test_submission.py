"""What is written for the benchmarks whose targets are not public."""

import base64
import csv
import sys

import numpy as np
import pytest
from matlab_files import write_dnd, write_mat73
from scipy.io import loadmat

from drcnet_cli.datasets.evaluation_sets import TEST_SETS
from drcnet_cli.datasets.suite import find_suite
from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.evaluation.submission import write_bundle

BLOCKS = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 6, 3), dtype=np.uint8)


@pytest.fixture
def sidd(tmp_path):
    write_mat73(tmp_path / "BenchmarkNoisyBlocksSrgb.mat", BenchmarkNoisyBlocksSrgb=BLOCKS)
    return find_suite(TEST_SETS["sidd-benchmark"], tmp_path)


def test_dnds_bundle(tmp_path):
    pixels = write_dnd(tmp_path, images=2, boxes=3, side=8)
    suite = find_suite(TEST_SETS["dnd"], tmp_path)
    steps = []
    folder = write_bundle(
        TEST_SETS["dnd"],
        suite,
        lambda noisy: noisy * 2 - 0.5,
        tmp_path / "new/bundle",
        lambda done, count: steps.append((done, count)),
    )
    assert sorted(path.name for path in folder.iterdir()) == ["0001.mat", "0002.mat"]
    assert steps == [(done, 6) for done in range(1, 7)]
    content = loadmat(folder / "0002.mat")
    assert content["Idenoised"].shape == (1, 3)
    box = content["Idenoised"][0, 1]
    assert box.dtype == np.float32
    assert np.array_equal(box, (pixels[1, 1:9, 2:10] * 2 - 0.5).clip(0, 1))
    assert content["israw"].item() == 0
    assert content["eval_version"].item() == "1.0"


def test_sidds_blocks_in_both_forms(tmp_path, sidd):
    folder = write_bundle(
        TEST_SETS["sidd-benchmark"], sidd, lambda noisy: 255 - noisy, tmp_path / "out"
    )
    assert {path.name for path in folder.iterdir()} == {"SubmitSrgb.mat", "SubmitSrgb.csv"}
    content = loadmat(folder / "SubmitSrgb.mat")
    blocks = content["DenoisedBlocksSrgb"]
    assert blocks.shape == (2, 3)
    for place in np.ndindex(2, 3):
        assert blocks[place].dtype == np.uint8
        assert np.array_equal(blocks[place], 255 - BLOCKS[place])
    assert content["TimeMPSrgb"].item() > 0
    assert "drcnet" in content["OptionalData"]["MethodName"][0, 0].item()
    header, *rows = csv.reader((folder / "SubmitSrgb.csv").read_text().splitlines())
    assert header == ["ID", "BLOCK"]
    assert [row[0] for row in rows] == [str(number) for number in range(6)]
    fourth = np.frombuffer(base64.b64decode(rows[3][1]), np.uint8).reshape(8, 6, 3)
    assert np.array_equal(fourth, 255 - BLOCKS[1, 0])


def test_float_results_are_rounded(tmp_path, sidd):
    restore = lambda noisy: noisy.astype(np.float32) / 255 + np.float32(0.6 / 255)  # noqa: E731
    folder = write_bundle(TEST_SETS["sidd-benchmark"], sidd, restore, tmp_path / "out")
    blocks = loadmat(folder / "SubmitSrgb.mat")["DenoisedBlocksSrgb"]
    assert np.array_equal(blocks[0, 0], np.minimum(BLOCKS[0, 0], 254) + 1)


def test_nothing_half_written_is_left(tmp_path, sidd):
    def restore(_noisy):
        raise ImageError("broken")

    with pytest.raises(ImageError):
        write_bundle(TEST_SETS["sidd-benchmark"], sidd, restore, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_other_sets_take_no_submissions(tmp_path, sidd):
    with pytest.raises(UsageError, match="GoPro has public targets"):
        write_bundle(TEST_SETS["gopro"], sidd, lambda noisy: noisy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_scipy_is_asked_for_before_anything_is_restored(tmp_path, sidd, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UsageError) as error:
        write_bundle(TEST_SETS["sidd-benchmark"], sidd, pytest.fail, tmp_path / "out")
    assert error.value.hint == "pip install 'drcnet[eval]'"
