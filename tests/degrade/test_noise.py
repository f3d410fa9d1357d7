"""Noise: levels, dependence on the signal, correlation, and what the clean image is."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.degrade import DEGRADATIONS, degrade, is_kind, margin_of
from drcnet_cli.degrade.base import Curve, display_curve, jpeg, look_up
from drcnet_cli.degrade.camera import (
    CameraParams,
    add_camera_noise,
    demosaic,
    draw_sensor,
    sample_mosaic,
    sensor_noise,
)
from drcnet_cli.degrade.noise import (
    GaussianParams,
    NoiseParams,
    add_gaussian_noise,
    add_noise,
    in_quarters,
)
from drcnet_cli.degrade.preview import draw_scene

PLAIN = CameraParams(soften_share=0, zoom_share=0, smooth_share=0, jpeg_share=0)


def flat(level: float, side: int = 128) -> np.ndarray:
    return np.full((3, side, side), level, np.float32)


def neighbour_correlation(noise: np.ndarray) -> float:
    """Correlate each pixel with its right neighbour: C x H x W."""
    noise = noise - noise.mean(axis=(1, 2), keepdims=True)
    return float((noise[:, :, 1:] * noise[:, :, :-1]).mean() / (noise**2).mean())


# The published tables add Gaussian noise and do not clip; half of ours is made so.
UNCLIPPED = {"noise", "gaussian"}


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(sorted(DEGRADATIONS)),
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    seed=st.integers(0, 2**32),
)
def test_every_kind_keeps_shape_and_range_and_repeats_itself(kind, height, width, seed):
    image = draw_scene(np.random.default_rng(seed), height, width)
    before = image.copy()
    streaks = [np.random.default_rng(1).integers(0, 256, (32, 40), dtype=np.uint8)]
    first, again = (degrade(image, kind, np.random.default_rng(seed), streaks) for _ in range(2))
    for result in (first.degraded, first.clean):
        assert result.shape == image.shape and result.dtype == np.float32
        assert result.flags.c_contiguous
        if kind not in UNCLIPPED or result is first.clean:
            assert result.min() >= 0 and result.max() <= 1
    assert first.degraded.tobytes() == again.degraded.tobytes()
    assert first.clean.tobytes() == again.clean.tobytes()
    assert image.tobytes() == before.tobytes()


# Of a JPEG of one quality nothing is drawn.
@pytest.mark.parametrize(
    "kind", sorted(k for k in set(DEGRADATIONS) - {"nothing"} if "jpeg" not in k)
)
def test_another_seed_gives_another_result(kind):
    image = draw_scene(np.random.default_rng(0), 64, 64)
    one, two = (degrade(image, kind, np.random.default_rng(seed)).degraded for seed in (1, 2))
    assert np.abs(one - two).max() > 1 / 255


# A camera's picture and a video's frame are themselves not quite sharp.
SOFTENED = {"noise", "camera", "nothing", "blur-video"}


@pytest.mark.parametrize("kind", sorted(set(DEGRADATIONS) - SOFTENED))
def test_the_clean_image_is_the_given_one(kind):
    image = draw_scene(np.random.default_rng(0), 32, 48)
    np.testing.assert_array_equal(degrade(image, kind, np.random.default_rng(3)).clean, image)


def test_all_but_gaussian_noise_is_rounded_to_8_bits():
    image = draw_scene(np.random.default_rng(0), 32, 32)
    for kind in ("camera", "rain", "blur"):
        levels = degrade(image, kind, np.random.default_rng(3)).degraded * 255
        np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 8, 8)),
        np.zeros((1, 8, 8), np.float32),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((3, 0, 8), np.float32),
    ],
)
def test_refuses_what_is_no_image(bad):
    with pytest.raises(ValueError, match="expected float32 3 x H x W"):
        degrade(bad, "rain", np.random.default_rng(0))


@pytest.mark.parametrize("sigma", [5, 25, 50])
def test_gaussian_noise_has_the_level_asked_for(sigma):
    params = GaussianParams(sigma=(sigma, sigma), clip_share=0)
    pair = add_gaussian_noise(flat(0.5), np.random.default_rng(0), params)
    noise = (pair.degraded - pair.clean) * 255
    assert noise.std() == pytest.approx(sigma, rel=0.02)
    assert abs(noise.mean()) < 4 * sigma / np.sqrt(noise.size)
    assert abs(neighbour_correlation(noise)) < 0.02


def test_varying_noise_has_each_level_in_a_quarter():
    pair = degrade(flat(0.5, 200), "gaussian-varying", np.random.default_rng(0))
    noise = (pair.degraded - pair.clean) * 255
    levels = [noise[:, y : y + 100, x : x + 100].std() for y in (0, 100) for x in (0, 100)]
    assert levels[0] == 0
    assert levels[1:] == pytest.approx([15, 25, 50], rel=0.03)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 1), (5, 4)])
def test_quarters_of_small_and_odd_pictures(height, width):
    quarters = in_quarters((0, 1, 2, 3), height, width)
    assert quarters.shape == (height, width)
    assert quarters[0, 0] == 0
    assert quarters[-1, -1] == (2 if height > 1 else 0) + (1 if width > 1 else 0)


def test_gaussian_levels_cover_the_whole_range():
    image = flat(0.5, 32)
    rng = np.random.default_rng(0)
    levels = [(add_gaussian_noise(image, rng).degraded - 0.5).std() * 255 for _ in range(200)]
    assert min(levels) < 3 and max(levels) > 48
    assert np.mean(levels) == pytest.approx(27, abs=4)


def test_mix_draws_both_kinds_by_their_share():
    image = draw_scene(np.random.default_rng(0), 32, 32)

    def stored(share: float) -> int:
        params = NoiseParams(camera_share=share)
        results = [
            add_noise(image, np.random.default_rng(n), params).degraded * 255 for n in range(40)
        ]
        return sum(bool(np.abs(r - np.rint(r)).max() < 1e-3) for r in results)

    assert stored(0.0) == 0 and stored(1.0) == 40 and 10 < stored(0.5) < 30


def test_display_curves_are_undone_to_well_under_a_255th():
    levels = np.linspace(0, 1, 256, dtype=np.float32)
    for contrast in (0.0, 0.5, 1.0):
        curve = display_curve(contrast)
        assert (np.diff(curve.to_linear) >= 0).all() and (np.diff(curve.to_display) >= 0).all()
        there_and_back = look_up(curve.to_display, look_up(curve.to_linear, levels))
        np.testing.assert_allclose(there_and_back, levels, atol=0.25 / 255)


def test_sensor_noise_variance_is_affine_in_the_signal():
    """In linear light, before any processing, variance = shot * signal + read, per colour."""
    rng = np.random.default_rng(0)
    sensor = draw_sensor(rng, CameraParams(shot=(4e-3, 4e-3), mosaic_share=0))
    table, same = np.linspace(0, 1, 65536, dtype=np.float32), np.eye(3, dtype=np.float32)
    sensor = dataclasses.replace(sensor, curve=Curve(table, table), to_raw=same, from_raw=same)
    for level in (0.2, 0.4, 0.6):
        picture = np.full((200, 200, 3), level, np.float32)
        variance = sensor_noise(picture, sensor, rng).var()
        assert variance == pytest.approx(sensor.shot * level + sensor.read, rel=0.04)


def test_camera_noise_grows_with_light_and_ends_where_the_sensor_clips():
    params = dataclasses.replace(PLAIN, shot=(5e-3, 5e-3))
    curve = display_curve()

    def linear_deviation(level: float) -> float:
        deviations = []
        for seed in range(6):
            pair = add_camera_noise(flat(level, 64), np.random.default_rng(seed), params)
            linear = look_up(curve.to_linear, pair.degraded) - look_up(curve.to_linear, pair.clean)
            deviations.append(linear.std())
        return float(np.mean(deviations))

    dark, middle, bright = (linear_deviation(level) for level in (0.15, 0.4, 0.7))
    assert dark * 1.5 < middle and middle * 1.2 < bright
    assert linear_deviation(1.0) == 0


def test_camera_noise_is_correlated_and_more_so_after_in_camera_denoising():
    image = flat(0.5)

    def correlation(params: CameraParams) -> float:
        noises = (add_camera_noise(image, np.random.default_rng(seed), params) for seed in range(8))
        return float(np.mean([neighbour_correlation(n.degraded - n.clean) for n in noises]))

    strong = {"shot": (5e-3, 5e-3), "soften_share": 0, "zoom_share": 0, "jpeg_share": 0}
    none = correlation(CameraParams(**strong, mosaic_share=0, smooth_share=0))
    demosaiced = correlation(CameraParams(**strong, mosaic_share=1, smooth_share=0))
    denoised = correlation(CameraParams(**strong, mosaic_share=1, smooth_share=1))
    assert abs(none) < 0.03
    assert demosaiced > 0.15
    assert denoised > demosaiced + 0.15


def test_camera_noise_has_hardly_any_bias_in_the_midtones():
    params = dataclasses.replace(PLAIN, shot=(1e-3, 1e-3))
    for seed in range(4):
        pair = add_camera_noise(flat(0.5), np.random.default_rng(seed), params)
        assert abs((pair.degraded - pair.clean).mean()) < 1 / 255


def test_the_clean_image_of_the_camera_is_the_given_one_unless_softened():
    image = draw_scene(np.random.default_rng(0), 64, 64)
    same = add_camera_noise(image, np.random.default_rng(0), PLAIN).clean
    np.testing.assert_array_equal(same, image)
    params = CameraParams(soften_share=1, soften=(1, 1))
    soft = add_camera_noise(image, np.random.default_rng(0), params).clean
    assert np.abs(np.diff(soft)).mean() < np.abs(np.diff(image)).mean()
    assert soft.mean() == pytest.approx(image.mean(), abs=2e-3)


def test_without_noise_the_camera_changes_nothing():
    params = CameraParams(
        shot=(1e-12, 1e-12), soften_share=0, zoom_share=0.5, smooth_share=0.5, jpeg_share=0
    )
    image = draw_scene(np.random.default_rng(0), 40, 56)
    for seed in range(8):
        pair = add_camera_noise(image, np.random.default_rng(seed), params)
        assert np.abs(pair.degraded - pair.clean).max() <= 0.51 / 255


def test_sensor_noise_spans_what_cameras_show():
    """From the faint noise of a good camera to a phone at night, in dB of PSNR."""
    image = draw_scene(np.random.default_rng(0), 64, 64)
    pairs = [add_camera_noise(image, np.random.default_rng(seed)) for seed in range(150)]
    psnr = [-10 * np.log10(np.mean((p.degraded - p.clean) ** 2)) for p in pairs]
    low, high = np.percentile(psnr, [5, 95])
    assert low < 23 and high > 36


@pytest.mark.parametrize("malvar", [False, True])
@pytest.mark.parametrize("phase", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_demosaicing_is_linear_keeps_samples_and_reproduces_ramps(malvar, phase):
    rng = np.random.default_rng(0)
    one, two = rng.random((2, 24, 18), dtype=np.float32)
    both = demosaic(one + two, phase, malvar=malvar)
    parts = demosaic(one, phase, malvar=malvar) + demosaic(two, phase, malvar=malvar)
    np.testing.assert_allclose(both, parts, atol=1e-5)

    y, x = np.mgrid[0:24, 0:18].astype(np.float32)
    ramp = np.stack([0.01 * x + 0.02 * y + 0.1] * 3, axis=2)
    rebuilt = demosaic(sample_mosaic(ramp, phase), phase, malvar=malvar)
    np.testing.assert_allclose(rebuilt[4:-4, 4:-4], ramp[4:-4, 4:-4], atol=1e-5)

    image = rng.random((24, 18, 3), dtype=np.float32)
    rebuilt = demosaic(sample_mosaic(image, phase), phase, malvar=malvar)
    np.testing.assert_allclose(
        sample_mosaic(rebuilt, phase), sample_mosaic(image, phase), atol=1e-6
    )
    np.testing.assert_array_equal(
        sample_mosaic(image, phase)[phase[0] :: 2, phase[1] :: 2],
        image[phase[0] :: 2, phase[1] :: 2, 0],
    )


def test_jpeg_keeps_the_colours_in_order_and_loses_more_at_lower_quality():
    y, x = np.mgrid[0:48, 0:40] / np.float32(8)
    image = np.stack([0.5 + 0.3 * np.sin(x), 0.3 + 0.2 * np.cos(y), y / 6], 2).astype(np.float32)
    good, poor = (jpeg(image, quality, np.random.default_rng(0)) for quality in (98, 20))
    assert good.shape == image.shape
    assert np.abs(good - image).mean() < 3 / 255
    assert np.abs(poor - image).mean() > 2 * np.abs(good - image).mean()
    red = np.zeros((16, 16, 3), np.float32)
    red[..., 0] = 1
    np.testing.assert_allclose(jpeg(red, 98, np.random.default_rng(0)), red, atol=0.03)


def test_several_kinds_follow_each_other_and_the_clean_image_is_the_first_ones():
    image = draw_scene(np.random.default_rng(0), 32, 48)
    rng, alone = np.random.default_rng(3), np.random.default_rng(3)
    both = degrade(image, "haze+gaussian-25", rng)
    hazy = degrade(image, "haze", alone).degraded
    np.testing.assert_array_equal(both.clean, image)
    np.testing.assert_array_equal(both.degraded, degrade(hazy, "gaussian-25", alone).degraded)
    assert is_kind("haze+gaussian-25") and not is_kind("haze+fog") and not is_kind("haze+")
    assert margin_of("blur+noise") == margin_of("blur") + margin_of("noise") > 0


def test_what_has_nothing_wrong_is_its_own_target_and_hardly_changed():
    image = draw_scene(np.random.default_rng(0), 64, 64)
    pairs = [degrade(image, "nothing", np.random.default_rng(seed)) for seed in range(8)]
    for pair in pairs:
        np.testing.assert_array_equal(pair.degraded, pair.clean)
        assert np.square(pair.clean - image).mean() < 5e-3
    untouched = [np.array_equal(pair.clean, image) for pair in pairs]
    assert any(untouched) and not all(untouched)
