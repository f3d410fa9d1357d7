import pytest
from training_helpers import write_picture

from drcnet_cli.datasets.training_sets import MIXED_SETS, TRAINING_SETS, find_dataset
from drcnet_cli.errors import UsageError
from drcnet_cli.train.config import DATASET_TASKS


def make(root, *names):
    for number, name in enumerate(names):
        write_picture(root / name, number, 8, 8)


def test_the_flags_table_of_data_sets_is_this_one():
    sets = {**TRAINING_SETS, **MIXED_SETS}
    assert {name: dataset.task for name, dataset in sets.items()} == DATASET_TASKS
    for mixed in MIXED_SETS.values():
        assert {name for names in mixed.parts.values() for name in names} <= TRAINING_SETS.keys()


def test_published_numbers():
    counts = {name: dataset.count for name, dataset in TRAINING_SETS.items()}
    assert counts == {
        "rain13k": 13712,
        "rain100l": 200,
        "spanet-train": 638492,
        "bsd400": 400,
        "wed": 4744,
        "sidd": 320,
        "gopro": 2103,
        "realblur": 3758,
        "reside-ots": 72135,
        "reside-its": 13990,
        "raindrop-train": 861,
        "istd-train": 1330,
        "istd-plus-train": 1330,
        "srd-train": 2680,
        "did-mdn-train": 12000,
        "rlrestore-train": 750,
    }


@pytest.mark.parametrize("below", ["", "train", "Rain13K/train", "train/Rain13K", "Datasets/train"])
def test_rain13k_wherever_its_two_folders_lie(tmp_path, below):
    root = tmp_path / below
    make(root, "input/1.jpg", "input/2.jpg", "target/1.jpg", "target/2.jpg", "target/3.jpg")
    _, found, notes = find_dataset("rain13k", tmp_path)
    assert [pair.name for pair in found.matching.pairs] == ["1.jpg", "2.jpg"]
    assert "2 pairs" in notes[0]
    assert "input" in notes[0]
    assert any("3.jpg" in note for note in notes)
    assert any("13712" in note for note in notes)


def test_sidd_as_published(tmp_path):
    scene = "SIDD_Medium_Srgb/Data/0001_001_S6_00100_00060_3200_L"
    make(
        tmp_path,
        *(f"{scene}/0001_{side}_SRGB_01{n}.PNG" for side in ("GT", "NOISY") for n in (0, 1)),
    )
    _, found, notes = find_dataset("sidd", tmp_path)
    assert len(found.matching.pairs) == 2
    assert all("NOISY" in p.degraded.name and "GT" in p.clean.name for p in found.matching.pairs)
    assert {pair.group for pair in found.matching.pairs} == {"0001"}
    assert any("320" in note for note in notes)


@pytest.mark.parametrize(
    "names",
    [
        ("train/GOPR0372_07_00/blur/47.png", "train/GOPR0372_07_00/sharp/47.png"),
        ("GoPro/train/input/GOPR0372_07_00-47.png", "GoPro/train/target/GOPR0372_07_00-47.png"),
        ("train/blur_crops/GOPR0372_07_00-47_s1.png", "train/sharp_crops/GOPR0372_07_00-47_s1.png"),
    ],
)
def test_gopro_layouts_and_scenes(tmp_path, names):
    make(tmp_path, *names, "test/GOPR0384_11_00/blur/1.png", "test/GOPR0384_11_00/sharp/1.png")
    _, found, _ = find_dataset("gopro", tmp_path)
    (pair,) = found.matching.pairs
    assert pair.group == "GOPR0372_07_00"
    assert pair.degraded == tmp_path / names[0]
    assert pair.clean == tmp_path / names[1]


def test_gopro_takes_blur_and_not_blur_gamma(tmp_path):
    scene = "GOPRO_Large/train/GOPR0372_07_00"
    make(tmp_path, *(f"{scene}/{side}/1.png" for side in ("blur", "blur_gamma", "sharp")))
    _, found, _ = find_dataset("gopro", tmp_path)
    assert [pair.degraded.parent.name for pair in found.matching.pairs] == ["blur"]


def test_crops_are_not_counted_against_the_published_number(tmp_path):
    make(tmp_path, "train/input_crops/1_s001.png", "train/target_crops/1_s001.png")
    _, found, notes = find_dataset("sidd", tmp_path)
    assert not found.whole
    assert not any("320" in note for note in notes)


def test_realblur_goes_by_its_list(tmp_path):
    scene = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"
    for number in (1, 2):
        make(tmp_path / scene / f"scene00{number}", "blur/blur_1.png", "gt/gt_1.png")
    line = f"{scene}/scene001/gt/gt_1.png {scene}/scene001/blur/blur_1.png\n"
    missing = f"{scene}/scene009/gt/gt_1.png {scene}/scene009/blur/blur_1.png\n"
    with pytest.raises(UsageError, match="list of those to train on"):
        find_dataset("realblur", tmp_path)
    (tmp_path / "RealBlur_J_train_list.txt").write_text(line + missing)
    _, found, notes = find_dataset("realblur", tmp_path)
    (pair,) = found.matching.pairs
    assert pair.degraded == tmp_path / scene / "scene001/blur/blur_1.png"
    assert pair.clean == tmp_path / scene / "scene001/gt/gt_1.png"
    assert pair.group == "scene001"
    assert any("scene009" in note for note in notes)


def test_spanet_goes_by_its_list(tmp_path):
    root = tmp_path / "SPANet"
    make(root, "real_world/274/274-14/274-14_0_3.png", "real_world_gt/274/274_0_3.png")
    line = "/real_world/274/274-14/274-14_0_{0}.png /real_world_gt/274/274_0_{0}.png\n"
    (root / "real_world.txt").write_text(line.format(3) + line.format(4))
    for place in (tmp_path, root):
        _, found, notes = find_dataset("spanet-train", place)
        (pair,) = found.matching.pairs
        assert pair.degraded == root / "real_world/274/274-14/274-14_0_3.png"
        assert pair.clean == root / "real_world_gt/274/274_0_3.png"
        assert pair.group == "274"
        assert any("274-14_0_4" in note for note in notes)


@pytest.mark.parametrize("name", TRAINING_SETS)
def test_a_missing_data_set_says_where_to_get_it(tmp_path, name):
    with pytest.raises(UsageError) as error:
        find_dataset(name, tmp_path)
    assert TRAINING_SETS[name].title in error.value.message
    assert TRAINING_SETS[name].where in error.value.hint
    assert "--data-root" in error.value.hint


def test_the_test_set_is_never_taken_for_the_training_set(tmp_path):
    make(tmp_path, "test/input/1.png", "test/target/1.png")
    for name in TRAINING_SETS:
        with pytest.raises(UsageError, match="is not in"):
            find_dataset(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "hazy", "clear"),
    [
        ("reside-ots", "OTS/part1/0001_0.8_0.2.jpg", "OTS/clear/0001.jpg"),
        ("reside-ots", "RESIDE/OTS/haze/part2/0001_1_0.9.jpg", "RESIDE/OTS/clear/0001.jpg"),
        ("reside-ots", "Dehaze/OTS/synthetic/part4/0001_1_0.9.jpg", "Dehaze/OTS/original/0001.png"),
        ("reside-ots", "reside-outdoor/train/hazy/0001_1_0.9.jpg",
         "reside-outdoor/train/gt/0001.jpg"),
        ("reside-its", "ITS/train/ITS_haze/0001_1_0.9.png", "ITS/train/ITS_clear/0001.png"),
        ("reside-its", "data/RESIDE/ITS/hazy/0001_10_0.98.png", "data/RESIDE/ITS/clear/0001.png"),
    ],
)  # fmt: skip
def test_reside_layouts(tmp_path, name, hazy, clear):
    others = [path.replace("0001", "0002") for path in (hazy, clear)]
    variant = hazy.replace("0001_1", "0001_2").replace("0001_0.8", "0001_0.9")
    make(tmp_path, hazy, clear, *others, variant, hazy.replace("0001", "3"))
    _, found, notes = find_dataset(name, tmp_path)
    pairs = {(pair.degraded, pair.clean, pair.group) for pair in found.matching.pairs}
    assert pairs == {
        (tmp_path / hazy, tmp_path / clear, "0001"),
        (tmp_path / variant, tmp_path / clear, "0001"),
        (tmp_path / others[0], tmp_path / others[1], "0002"),
    }
    assert any("1 degraded pictures have no partner" in note for note in notes)
    assert any("here are 3" in note for note in notes)


def test_hazy_pictures_of_no_clear_one_are_refused_in_a_sentence(tmp_path):
    make(tmp_path, "ITS/hazy/1_1.png", "ITS/clear/2.png")
    with pytest.raises(UsageError, match="No picture in .*hazy has a clear one of the same number"):
        find_dataset("reside-its", tmp_path)
    make(tmp_path, "OTS/hazy/1_1.png", "OTS/clear/1_a.png", "OTS/clear/1_b.png")
    with pytest.raises(UsageError, match="No picture"):  # either could be the partner
        find_dataset("reside-ots", tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("RainTrainL/rain-1.png", "RainTrainL/norain-1.png"),
        ("Train/Derain/rainy/rain-1.png", "Train/Derain/gt/norain-1.png"),
    ],
)
def test_rain100l_to_train_on_is_found_by_its_own_names(tmp_path, names):
    make(tmp_path, *names, "Rain100L/input/1.png", "Rain100L/target/1.png")
    _, found, notes = find_dataset("rain100l", tmp_path)
    (pair,) = found.matching.pairs
    assert (pair.degraded, pair.clean) == (tmp_path / names[0], tmp_path / names[1])
    assert any("200 training pairs" in note for note in notes)
    with pytest.raises(UsageError, match="is not in"):  # a folder that could be the test set
        find_dataset("rain100l", tmp_path / "Rain100L")


def test_sets_of_clean_pictures_are_found_by_name(tmp_path):
    make(tmp_path, "BSD400/test_001.png", "WED/00001.bmp", "WED/00002.bmp")
    counts = {}
    for name in ("bsd400", "wed"):
        dataset, found, notes = find_dataset(name, tmp_path)
        assert dataset.clean and all(p.degraded == p.clean for p in found.matching.pairs)
        assert f"{len(found.matching.pairs)} pictures in" in notes[0]
        counts[name] = len(found.matching.pairs)
    assert counts == {"bsd400": 1, "wed": 2}
    make(tmp_path, "others/1.png")
    with pytest.raises(UsageError, match="is not in"):
        find_dataset("bsd400", tmp_path / "others")
