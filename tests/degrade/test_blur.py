"""Blur: paths are centred and fine enough, and light is neither made nor lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.degrade import degrade
from drcnet_cli.degrade.base import display_curve, look_up
from drcnet_cli.degrade.blur import (
    BlurParams,
    Shake,
    add_blur,
    average_over,
    brighten_lights,
    disc_kernel,
    draw_frames,
    draw_mask,
    draw_shake,
    motion,
)
from drcnet_cli.degrade.preview import draw_scene

QUIET = {"shot": (1e-12, 1e-12), "read": (1e-14, 1e-14), "highlight_share": 0}


def centroid(plane: np.ndarray) -> tuple[float, float]:
    y, x = np.mgrid[0 : plane.shape[0], 0 : plane.shape[1]]
    return float((plane * y).sum() / plane.sum()), float((plane * x).sum() / plane.sum())


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    length=st.floats(1, 40),
    degrees=st.floats(0, 3),
    height=st.integers(8, 300),
    width=st.integers(8, 300),
)
def test_shakes_are_centred_and_their_steps_are_at_most_a_pixel(
    seed, length, degrees, height, width
):
    shake = draw_shake(np.random.default_rng(seed), (height, width), length, np.deg2rad(degrees))
    assert shake.weight.sum() == pytest.approx(1, abs=1e-5)
    assert (shake.weight > 0).all()
    np.testing.assert_allclose(shake.weight @ shake.shift, 0, atol=1e-4)
    assert shake.weight @ shake.angle == pytest.approx(0, abs=1e-5)
    for x, y in ((0, 0), (width, 0), (0, height), (width, height)):
        arm = np.array([-(y - shake.center[1]), x - shake.center[0]])
        track = shake.shift + shake.angle[:, None] * arm
        assert np.linalg.norm(np.diff(track, axis=0), axis=1).max() <= 1.01


@pytest.mark.parametrize("length", [3.0, 15.0, 30.0])
def test_the_path_is_as_long_as_asked_for(length):
    for seed in range(5):
        shake = draw_shake(np.random.default_rng(seed), (64, 64), length, 0.0)
        travelled = np.linalg.norm(np.diff(shake.shift, axis=0), axis=1).sum()
        assert 0.8 * length < travelled <= 1.001 * length


def test_paths_are_of_many_shapes_with_sub_pixel_steps():
    rng = np.random.default_rng(0)
    straightness = []
    for _ in range(60):
        shift = draw_shake(rng, (64, 64), 20, 0.0).shift
        straightness.append(np.linalg.norm(shift[-1] - shift[0]) / 20)
        assert np.abs(shift - np.rint(shift)).max() > 0.2
    assert min(straightness) < 0.3 and max(straightness) > 0.9


def test_a_point_of_light_spreads_about_where_it_was():
    point = np.zeros((81, 81, 3), np.float32)
    point[40, 40] = 1
    for seed in range(10):
        shake = draw_shake(np.random.default_rng(seed), (81, 81), 20, 0.0)
        spread = average_over(point, shake)
        assert spread.sum() == pytest.approx(3, rel=1e-3)
        assert centroid(spread[..., 0]) == pytest.approx((40, 40), abs=0.1)
        assert spread.max() < 0.6


def test_turning_moves_what_is_far_from_the_centre():
    points = np.zeros((101, 101, 3), np.float32)
    points[20, 20] = points[80, 80] = 1
    angles = np.linspace(-0.1, 0.1, 21)
    shake = Shake(np.zeros((21, 2)), angles, np.full(21, 1 / 21, np.float32), (20.0, 20.0))
    turned = average_over(points, shake)
    assert turned[20, 20, 0] == pytest.approx(1, abs=1e-4)
    assert turned[80, 80, 0] < 0.4


def test_blur_keeps_the_mean_light_and_that_means_linear_light():
    """A fine checkerboard becomes its mean in light, much brighter than the mean of its levels."""
    board = (np.indices((96, 96)).sum(axis=0) // 2 % 2).astype(np.float32)
    image = np.stack([board] * 3)
    params = BlurParams(length=(25, 25), disc_share=1, disc=(6, 6), **QUIET)
    pair = add_blur(image, np.random.default_rng(0), params)
    level = pair.degraded[:, 20:-20, 20:-20].mean()
    to_linear = display_curve().to_linear
    assert look_up(to_linear, np.full(1, level, np.float32))[0] == pytest.approx(0.5, abs=0.01)
    assert level > 0.7


def test_motion_keeps_the_mean_of_a_scene_with_a_quiet_border():
    image = np.full((128, 128, 3), 0.3, np.float32)
    image[48:80, 48:80] = np.random.default_rng(0).random((32, 32, 3))
    for seed in range(5):
        params = BlurParams(length=(10, 10), turn=(0, 0.3), layers_share=0)
        blurred = motion(image, np.random.default_rng(seed), params)
        assert blurred.mean() == pytest.approx(image.mean(), rel=2e-3)
        assert blurred.std() < image.std()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.0, 1.0]))
def test_motion_of_a_flat_picture_is_flat(seed, share):
    flat = np.full((40, 56, 3), 0.4, np.float32)
    params = BlurParams(layers_share=share, length=(3, 25))
    np.testing.assert_allclose(motion(flat, np.random.default_rng(seed), params), 0.4, atol=1e-4)


def test_target_and_blurred_picture_are_aligned():
    """No whole-pixel shift of the target fits the blurred picture better than none, on average."""
    image = draw_scene(np.random.default_rng(0), 96, 96)
    shifts = [(dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2)]
    errors = dict.fromkeys(shifts, 0.0)
    params = BlurParams(disc_share=0, layers_share=0, **QUIET)
    for seed in range(12):
        blurred = add_blur(image, np.random.default_rng(seed), params).degraded
        for shift in shifts:
            moved = np.roll(image, shift, axis=(1, 2))
            errors[shift] += float(((moved - blurred)[:, 8:-8, 8:-8] ** 2).mean())
    assert min(errors, key=lambda shift: errors[shift]) == (0, 0)


def test_longer_paths_blur_more():
    image = draw_scene(np.random.default_rng(0), 96, 96)

    def sharpness(length: float) -> float:
        params = BlurParams(length=(length, length), disc_share=0, **QUIET)
        results = (add_blur(image, np.random.default_rng(n), params).degraded for n in range(6))
        return float(np.mean([np.abs(np.diff(r)).mean() for r in results]))

    assert sharpness(3) > 1.15 * sharpness(12) > 1.15 * sharpness(40)


def test_layers_blur_differently_over_the_picture():
    """A still camera and a moving foreground: some parts stay sharp, others do not."""
    rng = np.random.default_rng(0)
    texture = rng.random((128, 128, 1), dtype=np.float32).repeat(3, axis=2)
    params = BlurParams(length=(20, 20), turn=(0, 0), layers_share=1, still_share=1)
    ratios = []
    for seed in range(8):
        blurred = motion(texture, np.random.default_rng(seed), params)
        blocks = blurred[..., 0].reshape(8, 16, 8, 16).std(axis=(1, 3))
        ratios.append(blocks.max() / blocks.min())
    assert np.median(ratios) > 1.5


def test_masks_are_soft_and_of_both_layers():
    masks = np.array([draw_mask(np.random.default_rng(seed), (60, 90)) for seed in range(40)])
    assert masks.shape == (40, 60, 90) and masks.min() == 0 and masks.max() == 1
    assert 0.2 < masks.mean() < 0.7
    soft = ((masks > 0) & (masks < 1)).mean(axis=(1, 2))
    assert soft.min() > 0.005 and np.median(soft) < 0.5


@pytest.mark.parametrize("radius", [0.8, 2.0, 4.5])
def test_discs_are_round_and_of_the_right_size(radius):
    kernel = disc_kernel(radius)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel, kernel[::-1])
    assert 1 / kernel.max() == pytest.approx(np.pi * radius**2, rel=0.3)


def test_only_small_lights_are_brightened():
    lights = np.full((64, 64, 3), 0.2, np.float32)
    lights[30:33, 30:33] = 1
    brighter = brighten_lights(lights, 2.0)
    assert brighter[31, 31, 0] > 2.5
    np.testing.assert_array_equal(brighter[0], lights[0])
    paper = np.ones((64, 64, 3), np.float32)
    np.testing.assert_array_equal(brighten_lights(paper, 2.0), paper)


def test_noise_is_added_in_linear_light():
    image = np.full((3, 96, 96), 0.5, np.float32)
    params = BlurParams(shot=(1e-3, 1e-3), read=(1e-12, 1e-12))
    noisy = add_blur(image, np.random.default_rng(0), params).degraded
    to_linear = display_curve().to_linear
    light = look_up(to_linear, noisy)
    assert light.var() == pytest.approx(1e-3 * look_up(to_linear, image).mean(), rel=0.1)


@pytest.mark.parametrize("count", [2, 7, 8, 13])
def test_a_videos_middle_frame_is_the_sharp_one(count):
    for seed in range(5):
        shake = draw_frames(np.random.default_rng(seed), (60, 80), 20.0, 0.1, count)
        middle = 3 * (count // 2) + 1
        assert len(shake.weight) == 3 * count
        assert shake.weight.sum() == pytest.approx(1, abs=1e-5)
        assert not shake.shift[middle].any() and shake.angle[middle] == 0
        travelled = np.linalg.norm(np.diff(shake.shift, axis=0), axis=1).sum()
        assert travelled == pytest.approx(20)
        assert np.ptp(shake.angle) < 0.2


def test_a_video_is_mostly_straight_and_its_truth_a_little_soft():
    bends = []
    for seed in range(40):
        path = draw_frames(np.random.default_rng(seed), (60, 80), 1.0, 0.0, 9).shift
        bends.append(1 - np.linalg.norm(path[-1] - path[0]))
    assert np.median(bends) < 0.1
    assert max(bends) > 0.1
    image = np.random.default_rng(0).random((3, 64, 64), dtype=np.float32)
    pair = degrade(image, "blur-video", np.random.default_rng(0))
    assert 0.02 < np.abs(pair.clean - image).mean() < 0.25
    assert pair.degraded.std() < pair.clean.std() < image.std()


def test_light_blur_harms_less_than_heavy_blur():
    picture = np.random.default_rng(0).random((3, 12, 16), dtype=np.float32)
    image = picture.repeat(8, axis=1).repeat(8, axis=2)

    def error(kind):
        pairs = [degrade(image, kind, np.random.default_rng(seed)) for seed in range(8)]
        return np.median([np.abs(pair.degraded - pair.clean).mean() for pair in pairs])

    assert 2 * error("blur-light") < error("blur-heavy")
    assert error("blur-light") < error("blur") < error("blur-heavy")
