"""Variety: scales and colours differ, and neither size nor luma does."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.train.variety import cut_scaled, vary_colour

LUMA = np.array([0.299, 0.587, 0.114])


def crops(pixels: np.ndarray, patch: int, count: int = 200) -> list[np.ndarray]:
    return [cut_scaled(pixels, patch, np.random.default_rng(n)) for n in range(count)]


def colourful(seed: int, height: int = 24, width: int = 24) -> np.ndarray:
    """Make 3 x H x W whose colours change from pixel to pixel, far from black and white."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.4, 0.6, (3, height, width)).astype(np.float32)


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(8, 64), st.integers(0, 2**32))
def test_a_crop_has_the_size_asked_for_however_small_the_picture(height, width, patch, seed):
    pixels = np.full((height, width, 3), 77, np.uint8)
    crop = cut_scaled(pixels, patch, np.random.default_rng(seed))
    assert crop.shape == (patch, patch, 3) and crop.dtype == np.uint8
    assert (crop == 77).all()


def test_most_crops_are_shrunk_some_to_about_a_third():
    """In a ramp of one level a pixel, a crop's slope is the scale."""
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 200, 0).repeat(3, 2)
    slopes = np.array([(int(c[0, -1, 0]) - int(c[0, 0, 0])) / 63 for c in crops(ramp, 64)])
    assert 0.55 < np.mean(slopes > 1.05) < 0.75
    assert 2.5 < slopes.max() < 2.9 and slopes.min() > 0.97


def test_shrinking_stays_within_the_picture():
    """A square three quarters of the picture's height cannot come from twice its area."""
    ramp = np.repeat(np.arange(80, dtype=np.uint8)[None, :, None], 80, 0).repeat(3, 2)
    slopes = [(int(c[0, -1, 0]) - int(c[0, 0, 0])) / 59 for c in crops(ramp, 60)]
    assert 1.2 < max(slopes) < 1.37


def test_detail_is_preferred_and_empty_parts_are_not_left_out():
    half = np.zeros((400, 100, 3), np.uint8)
    half[200:] = np.random.default_rng(0).integers(0, 256, (200, 100, 3), dtype=np.uint8)
    share = np.mean([crop.std() > 10 for crop in crops(half, 16, 400)])
    # One draw finds detail in a half of the cases, two in three quarters.
    assert 0.6 < share < 0.75


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 30))
def test_luma_stays_and_nothing_leaves_the_range(seed, height, width):
    image = colourful(seed % 1000, height, width)
    varied = vary_colour(image.copy(), np.random.default_rng(seed))
    assert varied.shape == image.shape and varied.dtype == np.float32
    assert varied.min() >= 0 and varied.max() <= 1
    luma = np.tensordot(LUMA, image, 1)
    np.testing.assert_allclose(np.tensordot(LUMA, varied, 1), luma, atol=2e-3)


def test_colours_are_only_ever_muted_or_kept():
    image = colourful(0)
    strength = [
        np.ptp(vary_colour(image, np.random.default_rng(n)), axis=0).mean() for n in range(200)
    ]
    strength = np.array(strength) / np.ptp(image, axis=0).mean()
    assert strength.max() <= 1.001 and strength.min() < 0.05
    assert 0.25 < np.mean(strength > 0.999) < 0.45


def test_half_of_the_colours_resolution_is_lost_in_some_draws():
    """Detail of one pixel is gone where colour was stored at half resolution; broad areas stay."""
    fine = np.full((3, 32, 32), 0.5, np.float32)
    fine[0, :, ::2] += 0.1
    broad = np.full((3, 32, 32), 0.5, np.float32)
    broad[0, :, 16:] += 0.1

    def kept(image: np.ndarray, seed: int) -> float:
        varied = vary_colour(image, np.random.default_rng(seed))
        red = varied[0] - varied[1]
        return float(np.ptp(red)) / 0.1

    pairs = [(kept(fine, n), kept(broad, n)) for n in range(300)]
    assert 0.1 < np.mean([f < 0.05 < 0.9 < b for f, b in pairs]) < 0.2
