"""The table of test sets, finding them by name, and the noise that is added to clean ones."""

import h5py
import numpy as np
import pytest
from matlab_files import write_dnd, write_mat5, write_mat73
from PIL import Image
from training_helpers import picture, write_picture

from drcnet_cli.datasets.evaluation_sets import GROUPS, TEST_SETS, available, sets_named
from drcnet_cli.datasets.suite import find_suite
from drcnet_cli.degrade.folder import PairPlan, make_pairs
from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.tasks import TASKS, Protocol

KODAK24_HYBRID = [*GROUPS["kodak24-hybrid"], *GROUPS["kodak24-jpeg"]]
BLOCKS = np.random.default_rng(0).integers(0, 256, (2, 2, 3, 8, 8, 3), dtype=np.uint8)


def test_published_numbers():
    counts = {name: benchmark.count for name, benchmark in TEST_SETS.items()}
    assert counts.pop("kodak24-blur") == 24
    assert counts.pop("cbsd68-varying") == 68
    noise = {"cbsd68": 68, "kodak24": 24, "mcmaster": 18, "urban100": 100}
    assert counts == {
        "test100": 98,
        "rain100h": 100,
        "rain100l": 100,
        "rain100l-rgb": 100,
        "test2800": 2800,
        "test1200": 1200,
        "sidd": 1280,
        "sidd-benchmark": 1280,
        "sidd-samples": None,
        "dnd": 1000,
        "polyu": 100,
        "gopro": 1111,
        "gopro-sample": None,
        "gopro-pairs": None,
        "levin": 32,
        "hide": 2025,
        "realblur-j": 980,
        "realblur-r": 980,
        "sots-indoor": 500,
        "sots-outdoor": 500,
        "o-haze": 45,
        "nh-haze": 55,
        "raindrop-a": 58,
        "raindrop-b": 249,
        "istd": 540,
        "istd-plus": 540,
        "srd": 408,
        "spanet": 1000,
        "rlrestore-mild": 3584,
        "rlrestore-moderate": 3584,
        "rlrestore-severe": 3584,
        "rlrestore-samples": None,
        "did-hy": 1200,
        "did-mdn": 1200,
        **dict.fromkeys(KODAK24_HYBRID, 24),
        **{f"{name}-{sigma}": count for name, count in noise.items() for sigma in (15, 25, 50)},
    }


def test_the_table_is_consistent():
    for name, benchmark in TEST_SETS.items():
        assert name == benchmark.name == name.lower()
        assert benchmark.task in TASKS
        assert "DIR/" in benchmark.where or "into DIR." in benchmark.where
        assert benchmark.where.endswith(".")
        level = "varying" if isinstance(benchmark.sigma, tuple) else benchmark.sigma
        assert benchmark.sigma is None or name.endswith(f"-{level}")
        assert benchmark.degradation == "" or benchmark.degradation in TASKS[benchmark.task].kinds
    assert not set(GROUPS) & set(TEST_SETS)


def test_protocols():
    assert {TEST_SETS[name].protocol.psnr_channel for name in GROUPS["rain"]} == {"y"}
    assert {TEST_SETS[name].protocol.aligned for name in GROUPS["realblur"]} == {True}
    assert not TEST_SETS["sidd"].protocol.rounded
    assert TEST_SETS["gopro"].protocol.ssim_variant == "3d"
    for name in (*GROUPS["rlrestore"], "did-hy", "kodak24-hybrid-mild"):
        assert TEST_SETS[name].protocol == Protocol(ssim_variant="uniform", rounded=False)
    assert TEST_SETS["did-mdn"].protocol == Protocol(ssim_variant="wide", rounded=False)
    assert TEST_SETS["kodak24-jpeg-10"].protocol == Protocol()


@pytest.mark.parametrize("name", ["gopro", "GoPro", "realblur_J", "Rain100L", "CBSD68-25"])
def test_names_in_any_spelling(name):
    (benchmark,) = sets_named(name)
    assert benchmark.name == name.lower().replace("_", "-")


def test_groups():
    assert [b.name for b in sets_named("rain")] == list(GROUPS["rain"])
    assert [b.sigma for b in sets_named("CBSD68")] == [15, 25, 50]
    assert len(sets_named("realblur")) == 2
    assert [b.task for b in sets_named("airnet")] == ["denoise"] * 3 + ["auto", "dehaze"]
    with pytest.raises(UsageError, match="'gopo'") as error:
        sets_named("gopo")
    for name in (*TEST_SETS, *GROUPS):
        assert name in error.value.hint


@pytest.mark.parametrize("name", TEST_SETS)
def test_a_missing_set_says_where_to_get_it_and_where_it_should_be(tmp_path, name):
    (tmp_path / "unrelated").mkdir()
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError) as error:
            find_suite(TEST_SETS[name], root)
        assert str(root) in error.value.message
        assert TEST_SETS[name].where in error.value.hint
    assert available(tmp_path) == available(tmp_path / "absent") == ()


def test_another_number_of_pictures_is_said(tmp_path):
    for number in range(24):
        write_picture(tmp_path / "Kodak24" / f"{number}.png", number, 8, 8)
    assert find_suite(TEST_SETS["kodak24-15"], tmp_path).notes == ()
    write_picture(tmp_path / "Kodak24" / "x.png", 0, 8, 8)
    (note,) = find_suite(TEST_SETS["kodak24-15"], tmp_path).notes
    assert "has 24 pictures as published; here are 25" in note


def test_the_noise_is_that_of_its_seed_and_the_pictures_place(tmp_path):
    for number, name in enumerate(("1.png", "10.png", "2.png")):
        write_picture(tmp_path / "McMaster" / name, number, 16, 16)
    suite = find_suite(TEST_SETS["mcmaster-50"], tmp_path, seed=7)
    for index, case in enumerate(suite.cases):
        degraded, target = case.load()
        noise = np.random.default_rng((7, index)).normal(0, 50, target.shape)
        assert np.array_equal(target, picture(index, 16, 16))
        assert np.array_equal(degraded, ((target + noise) / 255).astype(np.float32))
        assert degraded.dtype == np.float32
        assert degraded.max() > 1 or degraded.min() < 0  # not clipped
    again = find_suite(TEST_SETS["mcmaster-50"], tmp_path, seed=8)
    assert not np.array_equal(again.cases[0].load()[0], suite.cases[0].load()[0])


def test_varying_noise_has_four_levels_in_a_picture(tmp_path):
    write_picture(tmp_path / "CBSD68" / "1.png", 1, 41, 63)  # sides that cannot be halved
    suite = find_suite(TEST_SETS["cbsd68-varying"], tmp_path, seed=3)
    degraded, target = suite.cases[0].load()
    drawn = np.random.default_rng((3, 0)).normal(0, 1, target.shape)
    for y in range(41):
        for x in range(63):
            sigma = ((0, 15), (25, 50))[y >= 21][x >= 32]
            expected = (target[y, x] + sigma * drawn[y, x]) / 255
            assert degraded[y, x] == pytest.approx(expected, abs=1e-6), (y, x)


@pytest.mark.parametrize("write", [write_mat5, write_mat73])
@pytest.mark.parametrize("folder", ["SIDD", "SIDD/test", "SIDD_Validation_sRGB", ""])
def test_sidds_validation_blocks(tmp_path, write, folder):
    place = tmp_path / folder
    write(place / "ValidationNoisyBlocksSrgb.mat", ValidationNoisyBlocksSrgb=BLOCKS[0])
    with pytest.raises(UsageError, match="clean blocks"):
        find_suite(TEST_SETS["sidd"], tmp_path)
    write(place / "ValidationGtBlocksSrgb.mat", ValidationGtBlocksSrgb=BLOCKS[1])
    suite = find_suite(TEST_SETS["sidd"], tmp_path)
    names = [case.name for case in suite.cases]
    assert names == ["0001-01", "0001-02", "0001-03", "0002-01", "0002-02", "0002-03"]
    degraded, target = suite.cases[4].load()
    assert np.array_equal(degraded, BLOCKS[0, 1, 1])
    assert np.array_equal(target, BLOCKS[1, 1, 1])
    assert TEST_SETS["sidd"] in available(tmp_path)


@pytest.mark.parametrize("write", [write_mat5, write_mat73])
def test_sidds_benchmark_blocks_have_no_targets(tmp_path, write):
    write(tmp_path / "SIDD/BenchmarkNoisyBlocksSrgb.mat", BenchmarkNoisyBlocksSrgb=BLOCKS[0])
    suite = find_suite(TEST_SETS["sidd-benchmark"], tmp_path)
    degraded, target = suite.cases[5].load()
    assert np.array_equal(degraded, BLOCKS[0, 1, 2])
    assert target is None
    assert available(tmp_path) == ()


def test_blocks_of_two_numbers_are_no_pairs(tmp_path):
    write_mat5(tmp_path / "ValidationNoisyBlocksSrgb.mat", ValidationNoisyBlocksSrgb=BLOCKS[0])
    write_mat5(tmp_path / "ValidationGtBlocksSrgb.mat", ValidationGtBlocksSrgb=BLOCKS[1][:1])
    with pytest.raises(UsageError, match="different numbers"):
        find_suite(TEST_SETS["sidd"], tmp_path)


@pytest.mark.parametrize("folder", ["DND", "dnd_2017", ""])
def test_dnds_boxes(tmp_path, folder):
    pixels = write_dnd(tmp_path / folder, images=2, boxes=3, side=8)
    suite = find_suite(TEST_SETS["dnd"], tmp_path)
    names = [f"000{image}_0{box}" for image in (1, 2) for box in (1, 2, 3)]
    assert [case.name for case in suite.cases] == names
    degraded, target = suite.cases[5].load()
    assert target is None
    assert degraded.dtype == np.float32
    assert np.array_equal(degraded, pixels[1, 2:10, 4:12])
    (tmp_path / folder / "images_srgb/0002.mat").unlink()
    with pytest.raises(ImageError, match=r"0002\.mat does not exist"):
        suite.cases[5].load()


@pytest.mark.parametrize(
    "boxes",
    [[[1, 1, 8]], [[0, 1, 8, 8]], [[5, 1, 4, 8]], [[np.nan, 1, 8, 8]], [[1, 1, np.inf, 8]], []],
)
def test_boxes_that_are_none(tmp_path, boxes):
    write_dnd(tmp_path, images=1, boxes=1, side=8)
    with h5py.File(tmp_path / "info.mat", "r+") as file:
        del file["#refs#/0"]
        file["#refs#/0"] = np.array(boxes).T
        file["info/boundingboxes"][0, 0] = file["#refs#/0"].ref
    with pytest.raises(ImageError, match=r"info\.mat is damaged"):
        find_suite(TEST_SETS["dnd"], tmp_path)


def test_available_goes_by_names(tmp_path):
    write_picture(tmp_path / "stray.png", 0, 8, 8)
    for name in ("Rain100L/input/1.png", "Rain100L/target/1.png", "Kodak24/1.png"):
        write_picture(tmp_path / name, 0, 8, 8)
    names = [benchmark.name for benchmark in available(tmp_path)]
    rain = ["rain100l", "rain100l-rgb"]
    kodak = [f"kodak24-{kind}" for kind in (15, 25, 50, "blur")]
    assert names == [*rain, *kodak, *KODAK24_HYBRID]
    assert [b.name for b in available(tmp_path / "Rain100L")] == rain


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("kind", ["blur", "hybrid-severe", "jpeg-10"])
def test_degraded_pictures_are_those_of_the_degrade_command(tmp_path, kind):
    rng = np.random.default_rng(0)
    folder = tmp_path / "Kodak24"
    folder.mkdir()
    for name in ("kodim02", "kodim01"):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    make_pairs(folder, tmp_path / "pairs", PairPlan(kind, seed=5))
    suite = find_suite(TEST_SETS[f"kodak24-{kind}"], tmp_path, seed=5)
    assert [case.name for case in suite.cases] == ["kodim01.png", "kodim02.png"]
    for case in suite.cases:
        for side, pixels in zip(("lq", "gt"), case.load(), strict=True):
            written = np.asarray(Image.open(tmp_path / "pairs" / side / case.name))
            assert np.array_equal(pixels, written)
    other = find_suite(TEST_SETS[f"kodak24-{kind}"], tmp_path, seed=6)
    same = np.array_equal(other.cases[0].load()[0], suite.cases[0].load()[0])
    assert same == (kind == "jpeg-10")  # nothing of it is drawn


@pytest.mark.parametrize(
    ("name", "hazy", "clear"),
    [
        ("sots-indoor", "SOTS_indoor/hazy/1400_1.png", "SOTS_indoor/gt/1400.png"),
        ("sots-indoor", "RESIDE/SOTS/indoor/hazy/1400_10.png", "RESIDE/SOTS/indoor/clear/1400.png"),
        ("sots-indoor", "SOTS/nyuhaze500/hazy/1400_1.png", "SOTS/nyuhaze500/gt/1400.png"),
        ("sots-outdoor", "SOTS/outdoor/hazy/0001_0.8_0.2.jpg", "SOTS/outdoor/gt/0001.png"),
        ("o-haze", "# O-HAZY NTIRE 2018/hazy/01_outdoor_hazy.jpg",
         "# O-HAZY NTIRE 2018/GT/01_outdoor_GT.jpg"),
        ("nh-haze", "NH-HAZE/01_hazy.png", "NH-HAZE/01_GT.png"),
        ("nh-haze", "NH-HAZE/hazy/01.png", "NH-HAZE/GT/01.png"),
    ],
)  # fmt: skip
def test_hazy_sets(tmp_path, name, hazy, clear):
    for number, path in enumerate((hazy, clear)):
        write_picture(tmp_path / path, number, 16, 16)
    suite = find_suite(TEST_SETS[name], tmp_path)
    (case,) = suite.cases
    shown = [np.asarray(Image.open(tmp_path / path)) for path in (hazy, clear)]
    for found, expected in zip(case.load(), shown, strict=True):
        assert np.array_equal(found, expected)
    assert any("here are 1" in note for note in suite.notes)
    assert [found.name for found in available(tmp_path)] == [name]
    assert [found.name for found in sets_named("sots")] == ["sots-indoor", "sots-outdoor"]
