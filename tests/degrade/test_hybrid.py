"""Hybrid distortions: RL-Restore's levels and sum rule, the grid, the shares of the mix."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from drcnet_cli.degrade import MARGINS, degrade
from drcnet_cli.degrade.hybrid import (
    HYBRID,
    MILD,
    MODERATE,
    OLD,
    SEVERE,
    add_hybrid,
    add_levels,
    age,
    combinations,
    soften,
)
from drcnet_cli.degrade.preview import draw_scene

KINDS = ("hybrid-mild", "hybrid-moderate", "hybrid-severe")


def scene(side=96, seed=0):
    return draw_scene(np.random.default_rng(seed), side, side)


def error(image, kind, count=40):
    return np.mean(
        [np.mean((degrade(image, kind, np.random.default_rng(n)).degraded - image) ** 2)
         for n in range(count)]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "least", "most"), [(MILD, 9, 11), (MODERATE, 12, 17), (SEVERE, 18, 20)]
)
def test_the_levels_of_a_severity_are_all_whose_sum_fits(found, least, most):
    expected = {
        (blur, noise, jpeg)
        for blur in range(1, 11)
        for noise in range(1, 11)
        for jpeg in range(1, 11)
        if least <= blur + noise + jpeg - 2 <= most
    }
    assert len(found) == len(expected) and set(found) == expected


def test_severities_are_apart_and_in_order():
    assert not set(MILD) & set(MODERATE) and not set(MODERATE) & set(SEVERE)
    mild, moderate, severe = (error(scene(), kind) for kind in KINDS)
    assert mild < moderate < severe


def test_a_window_of_21_pixels_blurs_with_the_border_repeated():
    """As the outer product of 21 samples of a bell curve does, summed pixel by pixel."""
    picture = np.random.default_rng(0).random((12, 9, 3), dtype=np.float32)
    bell = np.exp(-(np.arange(-10, 11) ** 2) / (2 * 3.7**2))
    bell /= bell.sum()
    wide = np.pad(picture, ((10, 10), (10, 10), (0, 0)), mode="edge")
    expected = np.zeros(picture.shape)
    for down, right in np.ndindex(21, 21):
        expected += bell[down] * bell[right] * wide[down : down + 12, right : right + 9]
    np.testing.assert_allclose(soften(picture, 3.7), expected, atol=1e-5)
    np.testing.assert_array_equal(soften(picture, 0), picture)


def test_each_level_has_its_range():
    """Noise of level 8 alone is that of sigma 35 to 40; JPEG of quality 80 to 100 keeps luma's."""
    flat, luma = np.full((3, 128, 128), 0.5, np.float32), np.array([0.299, 0.587, 0.114])
    results = [add_levels(flat, np.random.default_rng(n), ((1, 8, 1),)) for n in range(30)]
    grains = [np.tensordot(luma, result.degraded, 1).std() * 255 for result in results]
    sigmas = np.array(grains) / np.linalg.norm(luma)
    assert sigmas.min() > 34 and sigmas.max() < 41
    assert np.ptp(sigmas) > 3


def blockiness(image, phase):
    """Compare steps over the columns of a grid at this phase with those over all columns."""
    steps = np.abs(np.diff(image.mean(0), axis=1))
    return steps[:, (phase - 1) % 8 :: 8].mean() / steps.mean()


def test_the_grid_begins_at_the_corner_and_in_the_mix_anywhere():
    image = cv2.GaussianBlur(scene(128).transpose(1, 2, 0), (0, 0), 3).transpose(2, 0, 1).copy()
    coarse = ((1, 1, 10),)
    for seed in range(5):
        stored = add_levels(image, np.random.default_rng(seed), coarse).degraded
        assert max(range(8), key=lambda phase: blockiness(stored, phase)) == 0  # noqa: B023
    phases = set()
    for seed in range(20):
        stored = add_levels(image, np.random.default_rng(seed), coarse, anywhere=True).degraded
        phases.add(max(range(8), key=lambda phase: blockiness(stored, phase)))  # noqa: B023
    assert len(phases) > 4
    # What training cuts off keeps the corner's phase.
    assert all(MARGINS[kind] % 8 == 0 for kind in KINDS)


def test_old_pictures_are_as_they_were_where_nothing_happens():
    nothing = replace(
        OLD, soft_share=0, rain_share=0, small_share=0, noise_share=0, jpeg_share=0, twice_share=0
    )
    image = np.rint(scene() * 255).astype(np.float32) / 255
    np.testing.assert_allclose(age(image, np.random.default_rng(0), nothing).degraded, image)
    for one in ("soft_share", "rain_share", "small_share", "noise_share", "twice_share"):
        changed = age(image, np.random.default_rng(0), replace(nothing, **{one: 1})).degraded
        assert changed.shape == image.shape
        assert np.abs(changed - image).mean() > 1e-3, one


def test_enlarging_again_keeps_a_picture_where_it_was():
    small = replace(
        OLD, soft_share=0, rain_share=0, small_share=1, noise_share=0, jpeg_share=0, twice_share=0
    )
    image = scene(97)
    errors = {}
    for shift in (-1, 0, 1):
        moved = np.roll(image, shift, axis=2)
        errors[shift] = sum(
            float(((age(image, np.random.default_rng(n), small).degraded - moved) ** 2).mean())
            for n in range(10)
        )
    assert min(errors, key=lambda shift: errors[shift]) == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 2)])
def test_pictures_of_few_pixels(shape):
    image = np.full((3, *shape), 0.5, np.float32)
    for seed in range(30):
        assert degrade(image, "hybrid", np.random.default_rng(seed)).degraded.shape == image.shape


def test_the_mix_has_jpeg_alone_levels_and_old_pictures():
    """JPEG alone keeps flat gray as it is; noise of the levels does not."""
    flat = np.full((3, 32, 32), 128 / 255, np.float32)

    def kept(params):
        results = [add_hybrid(flat, np.random.default_rng(n), params) for n in range(200)]
        return np.mean([np.abs(result.degraded - flat).max() < 1e-6 for result in results])

    assert kept(replace(HYBRID, level_share=0, jpeg_share=1)) == 1
    assert kept(replace(HYBRID, level_share=1, jpeg_share=0)) < 0.15
    assert 0.1 < kept(replace(HYBRID, level_share=0, jpeg_share=0)) < 0.4
    assert combinations(28, 28) == ((10, 10, 10),)
