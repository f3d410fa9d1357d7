"""Every published layout of every test set, as tiny pictures in a folder."""

import numpy as np
import pytest
from training_helpers import picture, write_picture

from drcnet_cli.datasets.evaluation_sets import TEST_SETS
from drcnet_cli.datasets.suite import find_suite, pairs_suite
from drcnet_cli.errors import ImageError, UsageError

SCENE = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"


def make(root, *names):
    """Write pictures, each different; `.JPG` too."""
    for number, name in enumerate(names):
        write_picture(root / name, number, 16, 16)


def found(name, root):
    """Return the names of a set's cases, having checked that each input has its own target."""
    suite = find_suite(TEST_SETS[name], root)
    for case in suite.cases:
        degraded, target = case.load()
        assert degraded.shape == target.shape == (16, 16, 3)
        assert target.dtype == np.uint8
    return [case.name for case in suite.cases]


@pytest.mark.parametrize("name", ["test100", "rain100h", "rain100l", "test2800", "test1200"])
@pytest.mark.parametrize("below", ["{}", "{}/test", "test/{}", "Rain13K/test/{}", "data/test/{}"])
def test_rain_as_mprnet_packs_it(tmp_path, name, below):
    folder = tmp_path / below.format(TEST_SETS[name].title)
    make(folder, "input/1.png", "input/10.png", "input/2.png")
    make(folder, "target/1.png", "target/10.png", "target/2.png")
    assert found(name, tmp_path) == ["1.png", "10.png", "2.png"]
    assert found(name, folder) == ["1.png", "10.png", "2.png"]


@pytest.mark.parametrize(
    ("rainy", "clean"),
    [
        ("rainy/rain-00{}.png", "norain-00{}.png"),
        ("rain-00{}.png", "norain-00{}.png"),
        ("rainy/rain-00{}.png", "norain/norain-00{}.png"),
        ("rain/norain-{}.png", "norain/norain-{}.png"),
        ("rain/X2/norain-{}x2.png", "norain/norain-{}.png"),
    ],
)
@pytest.mark.parametrize("name", ["rain100h", "rain100l"])
def test_rain100_as_first_published(tmp_path, name, rainy, clean):
    folder = tmp_path / TEST_SETS[name].title
    for number in (1, 2):
        make(folder, clean.format(number))
        write_picture(folder / rainy.format(number), number, 16, 16)
    make(folder, "rainregion-001.png", "rainstreak-001.png")
    suite = find_suite(TEST_SETS[name], tmp_path)
    assert len(suite.cases) == 2
    for number, case in enumerate(suite.cases, 1):
        degraded, target = case.load()
        assert np.array_equal(degraded, picture(number, 16, 16))
        assert np.array_equal(target, picture(0, 16, 16))


def test_a_picture_too_many_is_left_out_and_said(tmp_path):
    names = [f"{side}/926_10.png" for side in ("input", "target")]
    make(tmp_path / "Test2800", *names, "input/926_10(1).png")
    suite = find_suite(TEST_SETS["test2800"], tmp_path)
    assert [case.name for case in suite.cases] == ["926_10.png"]
    assert any("926_10(1).png" in note for note in suite.notes)


def test_gopro_scenes_without_those_to_train_on(tmp_path):
    for part in ("train/GOPR0372_07_00", "test/GOPR0384_11_00", "test/GOPR0384_11_05"):
        make(
            tmp_path / "GOPRO_Large" / part,
            *(f"{side}/{n}.png" for side in ("blur", "blur_gamma", "sharp") for n in (1, 2)),
        )
    names = [f"GOPR0384_11_0{scene}/blur/{n}.png" for scene in (0, 5) for n in (1, 2)]
    for root in (tmp_path, tmp_path / "GOPRO_Large", tmp_path / "GOPRO_Large/test"):
        assert found("gopro", root) == names
    (tmp_path / "GOPRO_Large/test").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="GoPro is not in"):
        find_suite(TEST_SETS["gopro"], tmp_path)


@pytest.mark.parametrize(("blur", "sharp"), [("blur", "sharp"), ("input", "target")])
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("gopro", "GoPro/test"),
        ("gopro", "test/GoPro"),
        ("hide", "HIDE"),
        ("hide", "test/HIDE"),
        ("realblur-j", "RealBlur_J/test"),
        ("realblur-j", "RealBlur/test/RealBlur_J"),
        ("realblur-r", "test/RealBlur_R"),
    ],
)
def test_deblurring_sets_as_repacked(tmp_path, name, folder, blur, sharp):
    make(tmp_path / folder, f"{blur}/scene_1.png", f"{sharp}/scene_1.png")
    assert found(name, tmp_path) == ["scene_1.png"]


def test_hide_as_first_published(tmp_path):
    folder = tmp_path / "HIDE_dataset"
    make(folder, "train/7fromGOPR1.png", "GT/7fromGOPR1.png", "GT/1fromGOPR2.png")
    make(folder, "test/test-close-ups/1fromGOPR2.png", "test/test-long-shot/3fromGOPR3.png")
    make(folder, "GT/3fromGOPR3.png", "test/test-long-shot/lone.png")
    for root in (tmp_path, folder):
        assert found("hide", root) == [
            "test-close-ups/1fromGOPR2.png",
            "test-long-shot/3fromGOPR3.png",
        ]
    suite = find_suite(TEST_SETS["hide"], tmp_path)
    assert any("lone.png" in note for note in suite.notes)


def test_realblur_goes_by_its_test_list(tmp_path):
    root = tmp_path / "RealBlur"
    for number in (1, 2):
        make(root / SCENE / f"scene00{number}", "blur/blur_1.png", "gt/gt_1.png")
    line = f"{SCENE}/scene00{{0}}/gt/gt_1.png {SCENE}/scene00{{0}}/blur/blur_1.png \n"
    (root / "RealBlur_J_test_list.txt").write_text(line.format(2) + line.format(9) + "\n")
    (root / "RealBlur_J_train_list.txt").write_text(line.format(1))
    for place in (tmp_path, root):
        assert found("realblur-j", place) == [f"{SCENE}/scene002/blur/blur_1.png"]
    notes = find_suite(TEST_SETS["realblur-j"], tmp_path).notes
    assert any("scene009" in note for note in notes)
    with pytest.raises(UsageError, match="RealBlur-R is not in") as error:
        find_suite(TEST_SETS["realblur-r"], tmp_path)
    assert "RealBlur_R_test_list.txt" in error.value.hint


@pytest.mark.parametrize("folder", ["PolyU", "CroppedImages", "PolyU/CroppedImages"])
def test_polyu_as_first_published(tmp_path, folder):
    stem = "Canon5D2_5_160_3200_chair_1"
    make(tmp_path / folder, f"{stem}_real.JPG", f"{stem}_mean.JPG")
    make(tmp_path / folder, f"{stem}1_real.JPG", f"{stem}1_mean.JPG")
    assert found("polyu", tmp_path) == [f"{stem}1_real.JPG", f"{stem}_real.JPG"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("polyu", "PolyU"),
        ("sidd-samples", "SIDD_samples"),
        ("gopro-sample", "GoPro_sample"),
        ("gopro-pairs", "GoPro_pairs"),
        ("levin", "Levin"),
        ("polyu", "polyu"),
    ],
)
def test_input_and_target(tmp_path, name, folder):
    make(tmp_path / folder, "input/1.webp", "target/1.png")
    assert found(name, tmp_path) == ["1.webp"]


def test_sidd_blocks_as_pictures(tmp_path):
    make(tmp_path / "SIDD", "train/input_crops/1.png", "train/gt_crops/1.png")
    with pytest.raises(UsageError, match="SIDD validation is not in"):
        find_suite(TEST_SETS["sidd"], tmp_path)
    make(tmp_path / "SIDD", "val/input_crops/5.png", "val/gt_crops/5.png")
    assert found("sidd", tmp_path) == found("sidd", tmp_path / "SIDD/val") == ["5.png"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("cbsd68-25", "CBSD68"),
        ("cbsd68-25", "CBSD68/original_png"),
        ("cbsd68-25", "CBSD68-dataset/CBSD68/original_png"),
        ("cbsd68-25", "CBSD68-dataset-master/CBSD68/original_png"),
        ("kodak24-25", "kodak24"),
        ("kodak24-25", "denoising/test/Kodak"),
        ("mcmaster-25", "McMaster"),
        ("urban100-25", "Urban100/HR"),
    ],
)
def test_clean_pictures(tmp_path, name, folder):
    make(tmp_path / folder, "1.png", "10.png", "2.png", ".hidden.png")
    make(tmp_path / folder, "noisy25/1.png")
    (tmp_path / folder / "readme.txt").write_text("words")
    assert found(name, tmp_path) == ["1.png", "10.png", "2.png"]


def test_a_folder_of_the_sets_name_wins_over_pictures_that_lie_about(tmp_path):
    make(tmp_path, "screenshot.png", "input/1.png", "target/1.png")
    assert found("cbsd68-25", tmp_path) == ["screenshot.png"]
    make(tmp_path, "CBSD68/0000.png", "PolyU/input/a.png", "PolyU/target/a.png")
    assert found("cbsd68-25", tmp_path) == ["0000.png"]
    assert found("polyu", tmp_path) == ["a.png"]


def test_a_pair_of_two_sizes_fails_alone_and_names_both(tmp_path):
    make(tmp_path / "PolyU", "input/1.png", "input/2.png", "target/1.png")
    write_picture(tmp_path / "PolyU/target/2.png", 0, 8, 16)
    first, second = find_suite(TEST_SETS["polyu"], tmp_path).cases
    first.load()
    with pytest.raises(ImageError, match=r"input/2\.png is 16 x 16 .*target/2\.png is 16 x 8"):
        second.load()


def test_pairs_of_ones_own(tmp_path):
    make(tmp_path, "a/1.png", "a/sub/2.jpg", "b/1.png", "b/sub/2.png", "b/3.png")
    suite = pairs_suite(tmp_path / "a", tmp_path / "b")
    assert [case.name for case in suite.cases] == ["1.png", "sub/2.jpg"]
    assert any("3.png" in note for note in suite.notes)
    with pytest.raises(UsageError, match="no folder"):
        pairs_suite(tmp_path / "a", tmp_path / "c")
