import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from training_helpers import photographs, picture, write_picture

from drcnet_cli.datasets.pairs import match_folders
from drcnet_cli.degrade import DEGRADATIONS, MARGINS, Degraded
from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.imageio.folder import find_pictures, read_rgb8
from drcnet_cli.train.batches import load_batches, requests
from drcnet_cli.train.cache import PictureCache
from drcnet_cli.train.holdout import hold_out
from drcnet_cli.train.samples import PairSource, cut, middle, picture_number, sample_rng, turn
from drcnet_cli.train.synthetic import SyntheticSource, degradation, degradations, held_pair


def source(folder, kind="gaussian", limit_mb=16, seed=3, crops=1, vary=True):
    degrade, margin = degradation(kind)
    cache = PictureCache(find_pictures(folder), limit_mb)
    return SyntheticSource(cache, degrade, seed, margin=margin, crops=crops, vary=vary)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("clean"))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(0, 5), st.integers(1, 4), st.integers(0, 3))
def test_each_epoch_shows_every_picture_equally_often(count, epoch, crops, seed):
    first = epoch * count * crops
    numbers = [picture_number(first + n, count, seed, crops) for n in range(count * crops)]
    assert sorted(numbers) == sorted(list(range(count)) * crops)
    assert all(len(set(numbers[n : n + crops])) == 1 for n in range(0, len(numbers), crops))


def test_epochs_differ_in_order():
    orders = {tuple(picture_number(10 * e + n, 10, 0, 1) for n in range(10)) for e in range(4)}
    assert len(orders) == 4


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_cut_gives_the_same_square_of_both_pictures(height, width, patch, seed):
    pixels = np.arange(height * width * 3).reshape(height, width, 3) % 251
    first, second = cut((pixels, pixels + 1), patch, np.random.default_rng(seed))
    assert first.shape == (patch, patch, 3)
    np.testing.assert_array_equal(first + 1, second)


def test_turn_reaches_all_eight_symmetries():
    pixels = np.arange(12).reshape(2, 2, 3)
    seen = {turn((pixels,), np.random.default_rng(n))[0].tobytes() for n in range(100)}
    assert len(seen) == 8


def test_two_crops_of_a_degraded_picture(clean):
    shifts = []

    def brighten(image, rng):
        shifts.append(rng.uniform(0, 1, (3, 1, 1)).astype(np.float32))
        return Degraded(image + shifts[-1], image)

    crops = SyntheticSource(PictureCache(find_pictures(clean), 16), brighten, 3)
    overlaps = 0
    for number in range(8):
        degraded, target, other = crops.two_crops(number, 16)
        assert degraded.shape == target.shape == other.shape == (3, 16, 16)
        np.testing.assert_array_equal(degraded, target + shifts[-1])
        # They lie across a square of 24: a corner of 8 is in both.
        overlaps += any(
            np.array_equal(degraded[:, a, b], other[:, c, d])
            for a, c in ((slice(8, 16), slice(8)), (slice(8), slice(8, 16)))
            for b, d in ((slice(8, 16), slice(8)), (slice(8), slice(8, 16)))
        )
        assert not np.array_equal(degraded, other)
    assert overlaps == 8
    again = SyntheticSource(PictureCache(find_pictures(clean), 16), brighten, 3)
    np.testing.assert_array_equal(again.two_crops(7, 16)[2], other)


def test_two_crops_of_a_pair_are_of_one_picture_and_turned_alike(tmp_path):
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None], (64, 64, 3))
    for name, pixels in (("lq/1.png", ramp), ("gt/1.png", ramp + 100)):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / name)
    pairs = PairSource(match_folders(tmp_path / "lq", tmp_path / "gt").pairs, 16, 0)
    places = set()
    for number in range(20):
        degraded, target, other = np.rint(255 * np.stack(pairs.two_crops(number, 16))).astype(int)
        np.testing.assert_array_equal(target, degraded + 100)
        np.testing.assert_array_equal(np.gradient(degraded[0]), np.gradient(other[0]))
        places.add(int(other.min() - degraded.min()))
    assert len(places) > 5


def test_kinds_take_turns(clean):
    kinds, margin = degradations("gaussian-50,haze,noise")
    assert (len(kinds), margin) == (3, MARGINS["noise"])
    crops = SyntheticSource(PictureCache(find_pictures(clean), 16), kinds, 3, margin=margin)
    alone = [
        SyntheticSource(crops._cache, kind, 3, margin=margin) for kind in kinds
    ]  # fmt: skip
    for number in range(6):
        expected = alone[number % 3].sample(number, 16)
        np.testing.assert_array_equal(crops.sample(number, 16), expected)
    assert len(degradations("airnet5,blur")[0]) == 6
    with pytest.raises(UsageError, match="'fog'"):
        degradations("noise,fog")


def test_middle_is_centred_and_never_larger_than_the_picture():
    pixels = np.arange(5 * 9).reshape(5, 9, 1)
    assert middle(pixels, 3)[:, :, 0].tolist() == pixels[1:4, 3:6, 0].tolist()
    assert middle(pixels, 7).shape == (5, 7, 1)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_a_sample_is_a_function_of_seed_and_number(clean, kind):
    one, other = source(clean, kind), source(clean, kind, limit_mb=0)
    other.sample(0, 24)  # a history of its own
    degraded, target = one.sample(11, 16)
    again, target_again = other.sample(11, 16)
    assert degraded.shape == target.shape == (3, 16, 16)
    assert degraded.dtype == target.dtype == np.float32
    np.testing.assert_array_equal(degraded, again)
    np.testing.assert_array_equal(target, target_again)
    assert not np.array_equal(source(clean, kind, seed=4).sample(11, 16)[1], target)


def test_without_variety_a_crop_is_a_part_of_the_picture_as_it_is(clean):
    kept = {path: set(map(tuple, read_rgb8(path).reshape(-1, 3))) for path in find_pictures(clean)}

    def parts(vary: bool) -> int:
        plain = source(clean, vary=vary)
        crops = (np.rint(plain.sample(n, 16)[1] * 255).astype(int) for n in range(20))
        colours = [set(map(tuple, crop.reshape(3, -1).T)) for crop in crops]
        return sum(any(found <= all_of for all_of in kept.values()) for found in colours)

    assert parts(vary=False) == 20
    assert parts(vary=True) < 16


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(clean, workers):
    wanted = [source(clean).sample(number, 16) for number in range(5, 9)]
    batches = load_batches(source(clean), requests(5, 16, 2, 0, 1), workers, pin=False)
    got = np.concatenate([next(batches).numpy() for _ in range(2)], axis=1)
    np.testing.assert_array_equal(got, np.stack(wanted, axis=1))
    np.testing.assert_array_equal(got[:, 3], np.stack(wanted[3]))


def test_two_processes_see_what_one_with_the_doubled_batch_sees():
    one = requests(7, 32, 6, 0, 1)
    first, second = requests(7, 32, 3, 0, 2), requests(7, 32, 3, 1, 2)
    for _ in range(4):
        assert next(one) == next(first) + next(second)


def test_crops_in_a_row_come_from_one_picture(clean):
    several = source(clean, crops=4)
    numbers = [picture_number(n, 8, 3, 4) for n in range(4)]
    assert len(set(numbers)) == 1
    crops = {several.sample(n, 16)[1].tobytes() for n in range(4)}
    assert len(crops) == 4


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_is_one_sentence_from_any_worker(tmp_path, workers):
    whole = write_picture(tmp_path / "a.png", 1).read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:-200])
    batches = load_batches(source(tmp_path), requests(0, 16, 1, 0, 1), workers, pin=False)
    with pytest.raises(ImageError) as error:
        next(batches)
    assert "a.png" in error.value.message
    assert "Traceback" not in str(error.value)
    assert error.value.hint


def test_cache_keeps_what_fits_and_decodes_the_rest(tmp_path):
    paths = [write_picture(tmp_path / f"{n}.png", n, 512, 512) for n in range(3)]
    cache = PictureCache(paths, 2)
    assert (len(cache), cache.kept) == (3, 2)
    for number in (2, 0, 1, 2, 0):
        np.testing.assert_array_equal(cache[number], picture(number, 512, 512))


def test_cache_decodes_a_pair_and_its_mask_once_for_crops_in_a_row(tmp_path, monkeypatch):
    paths = [write_picture(tmp_path / f"{number}.png", number, 64, 64) for number in range(3)]
    cache, decoded = PictureCache(paths, 0), []
    monkeypatch.setattr(
        "drcnet_cli.train.cache.read_rgb8", lambda path: decoded.append(path) or read_rgb8(path)
    )
    for _ in range(4):
        for number in range(3):
            cache[number]
    assert decoded == paths


def test_cache_reads_a_kept_picture_once(tmp_path):
    path = write_picture(tmp_path / "a.png", 1)
    cache = PictureCache([path], 1)
    before = cache[0].copy()
    path.unlink()
    np.testing.assert_array_equal(cache[0], before)


def test_pictures_are_found_below_a_folder_but_hidden_ones_are_not(tmp_path):
    for name in ("b/ü x.png", "a.jpg", "._a.jpg", ".cache/c.png", "B/d.PNG", "@eaDir/e.jpg"):
        write_picture(tmp_path / name, 1)
    (tmp_path / "notes.txt").write_text("no picture")
    names = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert names == ["B/d.PNG", "a.jpg", "b/ü x.png"]


@pytest.mark.parametrize("limit_mb", [0, 1])
def test_a_turned_photograph_is_upright(tmp_path, limit_mb):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(1, 20, 30)).save(tmp_path / "a.png", exif=exif)
    cache = PictureCache([tmp_path / "a.png"], limit_mb)
    upright = np.rot90(picture(1, 20, 30), -1)
    for _ in range(2):
        np.testing.assert_array_equal(cache[0], upright)


def test_unknown_degradation_and_empty_streaks_are_refused(tmp_path):
    with pytest.raises(UsageError, match="snow"):
        degradation("snow")
    with pytest.raises(UsageError, match="rain layers"):
        degradation("rain", tmp_path)


def test_a_held_pair_depends_on_its_name_alone(clean):
    degrade, margin = degradation("gaussian")
    path = clean / "00.png"
    first, again, other = (held_pair(path, name, degrade, margin, 24) for name in "aab")
    assert first[0].shape == (3, 24, 24)
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


@settings(deadline=None, max_examples=50)
@given(st.sets(st.text("abcdef", min_size=1, max_size=4), min_size=2), st.floats(0.01, 0.9))
def test_hold_out_splits_by_name_and_a_new_name_moves_no_other(names, share):
    items = [f"{name}_c00{crop}.png" for name in sorted(names) for crop in (1, 2)]
    training, held = hold_out(items, share, str)
    assert sorted(training + held) == sorted(items)
    assert held
    assert training
    assert not {name[:-9] for name in training} & {name[:-9] for name in held}
    first = [name[:-9] for name in held[: len(held) // 2]]
    assert len(set(first)) == len(first)
    more_training, _ = hold_out([*items, "zzz.png"], share, str)
    assert len(set(training) - set(more_training)) <= 2  # the smallest may be held by need


def test_hold_out_of_nothing():
    assert hold_out(["a", "b"], 0, str) == (["a", "b"], [])
    assert hold_out(["a"], 0.5, str) == (["a"], [])


def test_sample_rng_is_unlike_its_neighbours():
    draws = {sample_rng(s, n).integers(2**60) for s in range(3) for n in range(50)}
    assert len(draws) == 150
