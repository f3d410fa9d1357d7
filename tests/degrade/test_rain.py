"""Rain: streaks lie where and as they should, and rain only ever brightens."""

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.degrade.preview import draw_scene
from drcnet_cli.degrade.rain import (
    HEAVY,
    LIGHT,
    MEDIUM,
    add_mixed_rain,
    add_rain,
    add_veil,
    blend,
    rain_layer,
)
from drcnet_cli.degrade.streaks import (
    DropParams,
    curtain_layer,
    drop_layer,
    rendered_layer,
)

DROPS = DropParams(density=2, length=24, width=1.5, angle=0, brightness=0.8, spread=0, ripple=0)


def direction(layer: np.ndarray) -> float:
    """Estimate the streaks' angle from the vertical in degrees, by the structure tensor."""
    dy, dx = np.gradient(cv2.GaussianBlur(layer, (0, 0), 2))
    across = 0.5 * np.arctan2(2 * (dx * dy).mean(), (dx**2).mean() - (dy**2).mean())
    # Gradients point across the streaks; a streak to the right and down leans positively.
    return float(-np.rad2deg(across))


def psnr(pair) -> float:
    return -10 * np.log10(max(float(np.mean((pair.degraded - pair.clean) ** 2)), 1e-10))


@pytest.mark.parametrize("angle", [-35, -10, 0, 20, 40])
def test_drops_and_curtains_fall_in_the_direction_asked_for(angle):
    rng = np.random.default_rng(0)
    drops = drop_layer((192, 192), rng, dataclasses.replace(DROPS, angle=angle))
    curtain = curtain_layer((192, 192), rng, angle=angle, length=40, coverage=0.05, brightness=0.5)
    assert direction(drops) == pytest.approx(angle, abs=4)
    assert direction(curtain) == pytest.approx(angle, abs=4)


def test_a_drop_carries_the_light_of_its_size():
    """The layer's sum is density x length x width x mean brightness, without taper."""
    params = dataclasses.replace(DROPS, taper=0.05, softness=0)
    sums = [drop_layer((128, 128), np.random.default_rng(n), params).sum() for n in range(20)]
    # Means of the log-normal sizes, correlated by nearness; of 0.15 + 0.85 u^1.5; of the fade.
    size = np.exp(0.5 * ((2 * 0.35) ** 2 + 0.25**2 + 0.2**2))
    expected = 128 * 128 * params.density / 1000 * 24 * 1.5 * size * 0.8 * 0.49
    assert np.mean(sums) == pytest.approx(expected, rel=0.12)


def test_denser_longer_wider_brighter_rain_is_more_rain():
    def total(**changes) -> float:
        params = dataclasses.replace(DROPS, **changes)
        return float(
            np.mean(
                [drop_layer((96, 96), np.random.default_rng(n), params).sum() for n in range(8)]
            )
        )

    base = total()
    for changes in ({"density": 4}, {"length": 48}, {"width": 3}, {"brightness": 1.6}):
        assert total(**changes) == pytest.approx(2 * base, rel=0.3), changes


def test_streaks_are_placed_between_pixels():
    """Vertical lines of one pixel that lie anywhere light two columns in any proportion."""
    layer = drop_layer(
        (64, 256),
        np.random.default_rng(0),
        dataclasses.replace(DROPS, width=0.5, softness=0, density=2),
    )
    bright = layer[layer > 0.02]
    assert len(np.unique(np.round(bright, 3))) > 50


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    seed=st.integers(0, 2**32),
    params=st.sampled_from([LIGHT, MEDIUM, HEAVY]),
)
def test_layers_are_finite_and_within_0_and_1(height, width, seed, params):
    streaks = [np.random.default_rng(2).integers(0, 256, (20, 30), dtype=np.uint8)]
    layer = rain_layer((height, width), np.random.default_rng(seed), params, streaks)
    assert layer.shape == (height, width) and layer.dtype == np.float32
    assert np.isfinite(layer).all() and layer.min() >= 0 and layer.max() <= 1
    assert layer.mean() <= params.max_mean + 1e-3


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), params=st.sampled_from([LIGHT, MEDIUM, HEAVY]))
def test_rain_without_veil_only_brightens(seed, params):
    image = draw_scene(np.random.default_rng(seed), 48, 64)
    dry = dataclasses.replace(params, veil_share=0)
    pair = add_rain(image, np.random.default_rng(seed), dry)
    assert (pair.degraded >= pair.clean - 0.51 / 255).all()


def test_streaks_are_gray():
    """Every channel gets the same light where nothing is hidden or clipped."""
    image = np.full((3, 64, 64), 0.2, np.float32)
    added = add_rain(image, np.random.default_rng(1), LIGHT).degraded - image
    np.testing.assert_allclose(added[0], added[1], atol=1.01 / 255)
    np.testing.assert_allclose(added[0], added[2], atol=1.01 / 255)


def test_blending_adds_or_screens():
    clean, layer = np.full((4, 4, 3), 0.5, np.float32), np.full((4, 4), 0.4, np.float32)
    np.testing.assert_allclose(blend(clean, layer, 0), 0.9, atol=1e-6)
    np.testing.assert_allclose(blend(clean, layer, 1), 1 - 0.5 * 0.6, atol=1e-6)
    assert blend(clean, 2 * layer, 0).max() == 1


def test_a_veil_lowers_contrast_and_leaves_the_target_alone():
    image = draw_scene(np.random.default_rng(0), 64, 64)
    veiled = add_veil(image, 0.3, 0.8)
    assert veiled.std() == pytest.approx(0.7 * image.std(), rel=1e-4)
    params = dataclasses.replace(LIGHT, veil_share=1, veil=(0.2, 0.2), density=(1e-6, 1e-6))
    pair = add_rain(image, np.random.default_rng(0), params)
    np.testing.assert_array_equal(pair.clean, image)
    assert pair.degraded.std() < 0.9 * image.std()


def test_heavy_rain_has_several_directions():
    def spread(params) -> float:
        """Measure how much the direction differs between the layers of one picture."""
        turns = []
        for seed in range(30):
            layer = rain_layer((96, 96), np.random.default_rng(seed), params)
            dy, dx = np.gradient(layer)
            xx, yy, xy = (dx * dx).mean(), (dy * dy).mean(), (dx * dy).mean()
            turns.append(1 - np.hypot(xx - yy, 2 * xy) / max(xx + yy, 1e-12))
        return float(np.mean(turns))

    one_direction = dataclasses.replace(HEAVY, turn=(0, 0))
    assert spread(HEAVY) > spread(one_direction) + 0.05


def test_kinds_are_as_strong_as_their_published_namesakes():
    """Median input PSNR near 27 dB for light rain, near 14 dB for heavy rain."""
    images = [draw_scene(np.random.default_rng(n), 96, 96) for n in range(4)]

    def median(params) -> float:
        pairs = (add_rain(images[n % 4], np.random.default_rng(n), params) for n in range(80))
        return float(np.median([psnr(pair) for pair in pairs]))

    assert 23 < median(LIGHT) < 31
    assert 11 < median(HEAVY) < 17
    assert median(HEAVY) < median(MEDIUM) < median(LIGHT)


def test_rendered_layers_are_used_where_they_are_given():
    image = np.zeros((3, 32, 32), np.float32)
    params = dataclasses.replace(LIGHT, rendered_share=1, gain=(1, 1), max_mean=1)
    white = [np.full((64, 80), 128, np.uint8)]
    pair = add_rain(image, np.random.default_rng(0), params, white)
    np.testing.assert_allclose(pair.degraded, 128 / 255, atol=0.51 / 255)
    without = dataclasses.replace(params, rendered_share=0)
    assert add_rain(image, np.random.default_rng(0), without, white).degraded.std() > 0


@pytest.mark.parametrize("shape", [(8, 8), (200, 120)])
def test_rendered_layers_smaller_or_larger_than_the_image(shape):
    source = np.random.default_rng(0).integers(0, 256, (60, 90), dtype=np.uint8)
    window = rendered_layer(shape, np.random.default_rng(0), [source], scale=1.3, tilt=20)
    assert window.shape == shape and window.dtype == np.float32
    assert window.min() >= 0 and window.max() <= 1 and window.std() > 0.05


def test_a_rendered_layer_goes_on_beyond_its_border_without_kinks():
    across = np.arange(40)
    slanted = ((across[None] - across[:, None]) % 40 * 6).astype(np.uint8)
    for seed in range(4):
        window = rendered_layer((110, 90), np.random.default_rng(seed), [slanted], scale=1, tilt=0)
        # The streaks keep their slope, to the right or, mirrored, to the left.
        kept = [
            np.abs(window[1:, 1:] - window[:-1, :-1]).max(),
            np.abs(window[1:, :-1] - window[:-1, 1:]).max(),
        ]
        assert min(kept) < 0.02


def test_mixed_rain_is_light_and_heavy():
    image = draw_scene(np.random.default_rng(0), 64, 64)
    values = [psnr(add_mixed_rain(image, np.random.default_rng(n))) for n in range(80)]
    assert np.percentile(values, 10) < 17 and np.percentile(values, 90) > 25
