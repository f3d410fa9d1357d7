"""Haze: the scattering model, its ranges, depths that are depths, and the same seed's same bits."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.degrade import degrade
from drcnet_cli.degrade.haze import (
    INDOOR,
    OUTDOOR,
    add_haze,
    add_mixed_haze,
    draw_depth,
    scatter,
)
from drcnet_cli.degrade.preview import draw_scene

BOTH = pytest.mark.parametrize("params", [INDOOR, OUTDOOR], ids=["indoor", "outdoor"])


def flat(level: float, side: int = 48) -> np.ndarray:
    return np.full((3, side, side), level, np.float32)


def picture(seed: int = 0, height: int = 64, width: int = 80) -> np.ndarray:
    return draw_scene(np.random.default_rng(seed), height, width)


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_any_size_same_seed_same_bits(height, width, seed):
    image = picture(seed, height, width)
    first, again = (add_mixed_haze(image, np.random.default_rng(seed)) for _ in range(2))
    assert first.degraded.tobytes() == again.degraded.tobytes()
    assert first.clean.tobytes() == image.tobytes()
    assert first.degraded.shape == image.shape and first.degraded.dtype == np.float32
    levels = first.degraded * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    assert levels.min() >= 0 and levels.max() <= 255


@BOTH
@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_depths_are_above_0_and_at_most_1(params, height, width, seed):
    light = picture(seed, height, width).transpose(1, 2, 0)
    depth = draw_depth(np.ascontiguousarray(light), np.random.default_rng(seed), params)
    assert depth.shape == (height, width) and depth.dtype == np.float32
    assert depth.min() >= 0.99 * params.far[0] * params.near[0]
    assert depth.max() <= params.far[1] + 1e-6


@BOTH
def test_what_passes_and_what_the_air_adds_are_in_the_ranges(params):
    """Black shows A (1 - t) and white 1 - (1 - A) (1 - t): together they tell A and t."""
    passed, lights = [], []
    for seed in range(200):
        # The depth goes by the picture: two flat ones of the same seed have the same.
        black, white = (
            add_haze(flat(level, 24), np.random.default_rng(seed), params).degraded
            for level in (0, 1)
        )
        passed.append(white - black)
        lights.append((black.sum((1, 2)) / (1 - passed[-1]).sum((1, 2))).tolist())
    share, air = np.array(passed), np.array(lights)
    step = 1.5 / 255
    assert share.min() >= np.exp(-params.beta[1] * params.far[1]) - step
    assert share.max() <= 1 and (share < 1 - step).any()
    assert air.min() >= params.airlight[0] - 0.02 and air.max() <= params.airlight[1] + 0.02
    assert air.mean() == pytest.approx(np.mean(params.airlight), abs=0.03)
    tint = np.ptp(air, axis=1)
    assert tint.max() <= 2 * params.tint[1] + 0.02 and tint.max() > params.tint[1]


def test_scattering_by_numbers():
    clean = np.array([[[0.2, 0.4, 0.6]]], np.float32)
    found = scatter(clean, np.array([[0.25]], np.float32), np.array([0.8, 0.9, 1.0], np.float32))
    np.testing.assert_allclose(found, [[[0.65, 0.775, 0.9]]], rtol=1e-6)


def test_no_air_changes_nothing_and_more_air_hazes_more():
    image = picture()
    errors = []
    for beta in (0.0, 0.3, 1.0, 3.0):
        params = dataclasses.replace(INDOOR, beta=(beta, beta))
        pair = add_haze(image, np.random.default_rng(4), params)
        errors.append(float(np.abs(pair.degraded - pair.clean).mean()))
    assert errors[0] <= 0.5 / 255
    assert errors == sorted(errors) and errors[-1] > 4 * errors[1]


def test_the_sky_is_farther_than_the_ground():
    params = dataclasses.replace(OUTDOOR, relief=(0, 0), objects=(0, 0))
    grey = np.full((64, 64, 3), 0.5, np.float32)
    higher = [
        depth[:8].mean() - depth[-8:].mean()
        for depth in (draw_depth(grey, np.random.default_rng(seed), params) for seed in range(40))
    ]
    assert min(higher) > -0.05 and np.mean(higher) > 0.1


def test_edges_of_depth_lie_on_edges_of_the_picture():
    """Beside an edge of the picture the depth may jump; in a flat picture it runs smoothly."""
    params = dataclasses.replace(INDOOR, relief=(0, 0), objects=(6, 6))
    halves = np.full((64, 64, 3), 0.2, np.float32)
    halves[:, 32:] = 0.8
    jumps, others = [], []
    for seed in range(40):
        steps = np.abs(np.diff(draw_depth(halves, np.random.default_rng(seed), params), axis=1))
        jumps.append(steps[:, 31].mean())
        others.append(np.delete(steps, 31, axis=1).mean())
    assert np.mean(jumps) > 5 * np.mean(others)


def test_strength_spans_light_mist_to_thick_fog():
    errors = []
    for seed in range(150):
        pair = degrade(picture(seed), "haze", np.random.default_rng(seed))
        errors.append(-10 * np.log10(np.mean((pair.degraded - pair.clean) ** 2)))
    low, middle, high = np.percentile(errors, [5, 50, 95])
    assert low < 10 and 9 < middle < 17 and high > 17
