"""Unusual pictures: each kind is what it says, a function of its seed, and some are left alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_helpers import photographs, picture, tiny

from drcnet_cli.degrade import Degraded
from drcnet_cli.imageio.folder import find_pictures
from drcnet_cli.train.cache import PictureCache
from drcnet_cli.train.data import open_data
from drcnet_cli.train.synthetic import SyntheticSource
from drcnet_cli.train.unusual import KINDS, unusual_pair, unusual_picture


def photograph(seed: int = 0, height: int = 40, width: int = 48) -> np.ndarray:
    return picture(seed, height, width).transpose(2, 0, 1).astype(np.float32) / 255


def noisy(image: np.ndarray, rng: np.random.Generator) -> Degraded:
    return Degraded(image + rng.normal(0, 0.1, image.shape).astype(np.float32), image)


def drawn(kind: str, count: int, **size: int) -> list[np.ndarray]:
    return [
        unusual_picture(kind, photograph(n, **size), np.random.default_rng(n)) for n in range(count)
    ]


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(KINDS), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_every_kind_keeps_size_range_and_whole_steps(kind, height, width, seed):
    given_one = photograph(seed % 100, height, width)
    kept = given_one.copy()
    made = unusual_picture(kind, given_one, np.random.default_rng(seed))
    assert made.shape == (3, height, width) and made.dtype == np.float32
    assert made.flags.c_contiguous and made.min() >= 0 and made.max() <= 1
    np.testing.assert_allclose(made * 255, np.rint(made * 255), atol=1e-3)
    np.testing.assert_array_equal(given_one, kept)
    again = unusual_picture(kind, given_one, np.random.default_rng(seed))
    np.testing.assert_array_equal(made, again)


def test_flat_pictures_are_even_or_change_along_one_line():
    spans = np.array([np.ptp(made, axis=(1, 2)).max() for made in drawn("flat", 60)])
    assert 0.3 < np.mean(spans == 0) < 0.8
    for made in drawn("flat", 20):
        assert np.abs(np.diff(made, 2, axis=2)).max() <= 2.01 / 255


def test_pure_colours_are_among_the_flat_ones():
    pure = [made[:, 0, 0] for made in drawn("flat", 60) if np.ptp(made, axis=(1, 2)).max() == 0]
    assert {0.0, 1.0} <= {float(value) for colour in pure for value in colour}
    assert any(np.ptp(colour) == 1 for colour in pure)


def test_dots_are_single_pixels():
    for made in drawn("dots", 30):
        even = np.median(made, axis=(1, 2), keepdims=True)
        if np.mean(np.abs(made - even).max(0) > 0.02) < 0.5:  # not a gradient
            assert 0 < np.sum(np.abs(made - even).max(0) > 0) <= 8 or np.ptp(made) == 0


def test_drawings_have_sharp_edges():
    edges = [np.abs(np.diff(made, axis=2)).max() for made in drawn("drawing", 20)]
    assert np.median(edges) > 0.3


def test_patterns_have_two_colours():
    for made in drawn("pattern", 20):
        assert len(np.unique(made.reshape(3, -1), axis=1).T) <= 2


def test_exposures_are_dark_or_clipped():
    for number, made in enumerate(drawn("exposure", 30)):
        before = photograph(number).mean()
        assert made.mean() < 0.45 * before or np.mean((made == 0) | (made == 1)) > 0.01


def test_gray_pictures_stay_gray_when_they_are_degraded():
    seen = 0
    for seed in range(200):
        pair = unusual_pair(photograph(seed % 9), noisy, np.random.default_rng(seed))
        spread = np.ptp(pair.clean, axis=0).max()
        if spread == 0 and np.ptp(pair.clean) > 0.2 and not np.array_equal(*_arrays(pair)):
            seen += np.ptp(pair.degraded, axis=0).max() == 0
    assert seen > 5


def _arrays(pair: Degraded) -> tuple[np.ndarray, np.ndarray]:
    return pair.degraded, pair.clean


def test_many_are_left_as_they_are_most_of_them_photographs():
    same = photographed = 0
    for seed in range(400):
        taken = photograph(seed % 9)
        pair = unusual_pair(taken, noisy, np.random.default_rng(seed))
        if np.array_equal(pair.degraded, pair.clean):
            assert pair.degraded is not pair.clean
            same += 1
            photographed += np.abs(pair.clean - taken).max() < 0.003
    assert 0.55 < same / 400 < 0.75
    assert 0.33 < photographed / 400 < 0.47


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("clean"))


def samples(
    clean, unusual: float, first: int = 10_000, count: int = 60, **options: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    cache = PictureCache(find_pictures(clean), 16)
    source = SyntheticSource(cache, noisy, 3, margin=2, unusual=unusual, **options)
    return [source.sample(number, 16) for number in range(first, first + count)]


def test_a_share_of_the_samples_is_unusual_and_without_a_share_nothing_changes(clean):
    usual, some = samples(clean, 0.0), samples(clean, 0.3)
    assert all(pair[0].shape == pair[1].shape == (3, 16, 16) for pair in some)
    assert not any(np.array_equal(*pair) for pair in usual)
    assert 0.08 < np.mean([np.array_equal(*pair) for pair in some]) < 0.35
    again = samples(clean, 0.3)
    assert all(np.array_equal(one, two) for one, two in zip(some, again, strict=True))


def test_a_run_begins_with_usual_samples(clean):
    assert not any(np.array_equal(*pair) for pair in samples(clean, 0.3, first=0))
    assert any(np.array_equal(*pair) for pair in samples(clean, 0.3, first=0, usual_first=0))


@pytest.mark.parametrize("init", ["", "a.safetensors"])
def test_unless_it_begins_with_a_checkpoint(clean, tmp_path, init):
    source = open_data(tiny(clean, tmp_path, unusual=0.9, init=init)).source
    begun = [source.sample(number, 16) for number in range(24)]
    assert any(np.array_equal(*pair) for pair in begun) == bool(init)


def test_held_pictures_are_what_they_were(clean, tmp_path):
    usual = open_data(tiny(clean, tmp_path, unusual=0.0))
    some = open_data(tiny(clean, tmp_path, unusual=0.9))
    assert some.summary["unusual_share"] == 0.9
    for name, pair in usual.held.items():
        assert all(np.array_equal(*both) for both in zip(pair, some.held[name], strict=True))
