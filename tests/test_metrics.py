"""PSNR and SSIM: hand-computed values, a slow reference, properties and the released code's."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drcnet_cli.errors import UsageError
from drcnet_cli.metrics import CHANNELS, SSIM_VARIANTS, luma, psnr, ssim

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden" / "metrics"
KINDS = [(v, c) for v in SSIM_VARIANTS for c in CHANNELS if v != "3d" or c == "rgb"]


def photo(seed=0, height=24, width=31):
    """Make a uint8 picture with smooth parts, edges and colour."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    planes = [np.sin(5 * rows + c) * np.cos(7 * columns - c) + (rows > 0.4) for c in range(3)]
    levels = 110 + 60 * np.stack(planes, -1) + rng.normal(0, 4, (height, width, 3))
    return levels.clip(0, 255).astype(np.uint8)


def noisy(image, sigma, seed=1):
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.rint(image + noise).clip(0, 255).astype(np.uint8)


# --- PSNR


def test_psnr_by_hand():
    black, gray = np.zeros((4, 5, 3), np.uint8), np.full((4, 5, 3), 51, np.uint8)
    assert psnr(black, gray) == pytest.approx(20 * math.log10(255 / 51))
    one_off = black.copy()
    one_off[0, 0, 0] = 255  # mean squared error 255^2 / 60
    assert psnr(black, one_off) == pytest.approx(10 * math.log10(60))


def test_psnr_y_by_hand():
    black, green = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    green[..., 1] = 255
    assert psnr(black, green, channel="y") == pytest.approx(20 * math.log10(255 / 128.553))
    # 16 and 144.553 become 16 and 145.
    assert psnr(black, green, channel="y8") == pytest.approx(20 * math.log10(255 / 129))


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((0, 0, 0), 16.0),
        ((255, 255, 255), 235.0),
        ((255, 0, 0), 16 + 65.481),
        ((0, 255, 0), 16 + 128.553),
        ((0, 0, 255), 16 + 24.966),
        ((10, 20, 30), 16 + (65.481 * 10 + 128.553 * 20 + 24.966 * 30) / 255),
    ],
)
def test_luma_is_bt601(rgb, expected):
    assert luma(np.array([[rgb]], np.uint8)) == pytest.approx(np.array([[expected]]))


def test_rounding_is_to_8_bits_after_clipping():
    target = np.full((3, 3, 3), 100 / 255)
    assert psnr(np.full((3, 3, 3), 100.4 / 255), target) == math.inf
    unrounded = psnr(np.full((3, 3, 3), 100.4 / 255), target, rounded=False)
    assert unrounded == pytest.approx(20 * math.log10(255 / 0.4))
    assert psnr(np.full((3, 3, 3), 1.2), np.ones((3, 3, 3))) == math.inf
    assert psnr(np.full((3, 3, 3), 1.2), np.ones((3, 3, 3)), rounded=False) < 14


@pytest.mark.parametrize("channel", CHANNELS)
def test_float_and_uint8_agree(channel):
    image, target = noisy(photo(), 10), photo()
    scaled, reference = image.astype(np.float32) / 255, target.astype(np.float32) / 255
    assert psnr(scaled, reference, channel=channel) == psnr(image, target, channel=channel)
    assert ssim(scaled, reference, channel=channel) == ssim(image, target, channel=channel)


# --- SSIM


def slow_ssim_plane(first, second, positions, sample):
    """SSIM as Wang et al. 2004 write it, one window at a time."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for position in positions:
        weight_sum = mean_1 = mean_2 = 0.0
        window = list(sample(position))
        for place, weight in window:
            weight_sum += weight
            mean_1 += weight * first[place]
            mean_2 += weight * second[place]
        mean_1, mean_2 = mean_1 / weight_sum, mean_2 / weight_sum
        variance_1 = variance_2 = covariance = 0.0
        for place, weight in window:
            share = weight / weight_sum
            variance_1 += share * (first[place] - mean_1) ** 2
            variance_2 += share * (second[place] - mean_2) ** 2
            covariance += share * (first[place] - mean_1) * (second[place] - mean_2)
        values.append(
            (2 * mean_1 * mean_2 + c1)
            * (2 * covariance + c2)
            / ((mean_1**2 + mean_2**2 + c1) * (variance_1 + variance_2 + c2))
        )
    return sum(values) / len(values)


def slow_ssim(image, target, variant):
    first, second = image.astype(float), target.astype(float)
    height, width, _ = first.shape
    reach = range(-5, 6)

    def gauss(*offsets):
        return math.exp(-sum(o * o for o in offsets) / (2 * 1.5**2))

    def inside(index, size):
        return min(max(index, 0), size - 1)

    def flat(position):
        row, column, channel = position
        for i in reach:
            for j in reach:
                yield (inside(row + i, height), inside(column + j, width), channel), gauss(i, j)

    def deep(position):
        row, column, channel = position
        for k in reach:
            for (i, j, _), weight in flat((row, column, 0)):
                yield (i, j, inside(channel + k, 3)), weight * gauss(k)

    border = 5 if variant == "valid" else 0
    positions = [
        (row, column, channel)
        for row in range(border, height - border)
        for column in range(border, width - border)
        for channel in range(3)
    ]
    return slow_ssim_plane(first, second, positions, deep if variant == "3d" else flat)


@pytest.mark.parametrize(
    ("variant", "height", "width"),
    [("valid", 12, 13), ("valid", 11, 11), ("replicate", 7, 9), ("3d", 4, 6), ("replicate", 1, 1)],
)
def test_ssim_matches_the_definition(variant, height, width):
    target = photo(2, height, width)
    image = noisy(target, 20)
    assert ssim(image, target, variant=variant) == pytest.approx(
        slow_ssim(image, target, variant), abs=1e-9
    )


def test_ssim_of_flat_images_by_hand():
    # Without variance only the luminance term is left.
    first, second = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    for variant in SSIM_VARIANTS:
        if variant != "wide":
            assert ssim(first, second, variant=variant) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("variant", "span"), [("uniform", 255), ("wide", 510)])
def test_ssim_of_equal_weights_as_scikit_image_has_it(variant, span):
    image, target = (
        picture.astype(float) for picture in (noisy(photo(2, 9, 12), 20), photo(2, 9, 12))
    )
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    values = []
    for channel, top, left in np.ndindex(3, 3, 6):
        here = (slice(top, top + 7), slice(left, left + 7), channel)
        x, y = image[here].ravel(), target[here].ravel()
        (xx, xy), (_, yy) = np.cov(x, y)  # of a sample: divided by one less than their number
        luminance = (2 * x.mean() * y.mean() + c1) / (x.mean() ** 2 + y.mean() ** 2 + c1)
        values.append(luminance * (2 * xy + c2) / (xx + yy + c2))
    found = ssim(image / 255, target / 255, variant=variant, rounded=False)
    assert found == pytest.approx(np.mean(values), abs=1e-9)


def test_luma_ssim_takes_the_luma():
    image, target = noisy(photo(), 15), photo()
    swapped = ssim(image[..., ::-1], target[..., ::-1], channel="y")
    assert ssim(image, target, channel="y") != pytest.approx(swapped, abs=1e-4)
    gray = np.stack([luma(image), luma(target)]) / 255
    first, second = (np.repeat(plane[..., None], 3, axis=-1) for plane in gray)
    for variant in ("valid", "replicate"):
        of_planes = ssim(first, second, variant=variant, rounded=False)
        assert ssim(image, target, variant=variant, channel="y") == pytest.approx(of_planes)


# --- Properties


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    height=st.integers(11, 20),
    width=st.integers(11, 20),
    sigma=st.floats(1, 80),
    kind=st.sampled_from(KINDS),
)
def test_symmetric_and_bounded(seed, height, width, sigma, kind):
    variant, channel = kind
    target = photo(seed, height, width)
    image = noisy(target, sigma, seed)
    assert psnr(image, target, channel=channel) == psnr(target, image, channel=channel)
    similarity = ssim(image, target, variant=variant, channel=channel)
    other_way = ssim(target, image, variant=variant, channel=channel)
    assert similarity == pytest.approx(other_way, abs=1e-12)
    assert -1.0 <= similarity <= 1.0 + 1e-12


@pytest.mark.parametrize(("variant", "channel"), KINDS)
def test_equal_images_and_growing_noise(variant, channel):
    target = photo(3, 40, 40)
    images = [target, *(noisy(target, sigma) for sigma in (3, 10, 30, 60))]
    ratios = [psnr(image, target, channel=channel) for image in images]
    similarities = [ssim(image, target, variant=variant, channel=channel) for image in images]
    assert ratios[0] == math.inf
    assert similarities[0] == pytest.approx(1.0, abs=1e-12)
    assert ratios == sorted(ratios, reverse=True)
    assert similarities == sorted(similarities, reverse=True)


def test_inputs_are_left_alone_and_any_strides_are_taken():
    image, target = noisy(photo(), 10), photo()
    before = image.copy()
    flipped = ssim(image[::-1, ::-1], target[::-1, ::-1], variant="3d")
    assert flipped == pytest.approx(ssim(image, target, variant="3d"), abs=1e-12)
    assert (image == before).all()


# --- Refusals


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize(
    ("image", "target", "words"),
    [
        (np.zeros((12, 12, 3)), np.zeros((12, 13, 3)), "12x12 and 13x12"),
        (np.zeros((12, 12)), np.zeros((12, 12)), "not height x width x 3"),
        (np.zeros((3, 12, 12)), np.zeros((3, 12, 12)), "not height x width x 3"),
        (np.zeros((0, 12, 3)), np.zeros((0, 12, 3)), "not height x width x 3"),
        (np.zeros((12, 12, 3), np.uint16), np.zeros((12, 12, 3), np.uint16), "uint16"),
        (np.zeros((12, 12, 3), np.uint8), np.zeros((12, 12, 3), np.float32), "uint8 and float32"),
        (np.full((12, 12, 3), np.nan), np.zeros((12, 12, 3)), "NaN"),
        (np.full((12, 12, 3), -np.inf), np.zeros((12, 12, 3)), "infinity"),
        (np.full((12, 12, 3), 200.0), np.full((12, 12, 3), 190.0), "far outside"),
    ],
)
def test_images_that_cannot_be_compared(measure, image, target, words):
    with pytest.raises(UsageError, match=words) as caught:
        measure(image, target)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variant": "valid"}, "20x10 pixels is smaller"),
        ({"variant": "3d", "channel": "y"}, "all three channels"),
        ({"variant": "round"}, "no SSIM variant 'round'"),
        ({"channel": "gray"}, "no channel 'gray'"),
    ],
)
def test_ssim_options_that_cannot_be(options, words):
    image = photo(0, 10, 20)
    with pytest.raises(UsageError, match=words):
        ssim(image, image, **options)


# --- The released code's numbers, and speed


@pytest.mark.skipif(
    not (GOLDEN / "metrics.json").is_file(),
    reason=f"the released code's numbers are for images that may not be copied here: {GOLDEN}",
)
@pytest.mark.parametrize("name", ["rain100l", "polyu", "gopro_samples"])
def test_released_code(name):
    published = json.loads((GOLDEN / "metrics.json").read_text())[name]
    pictures = [Image.open(GOLDEN / f"{name}_{side}.png").convert("RGB") for side in "ab"]
    image, target = (np.asarray(picture) for picture in pictures)
    measured = {
        "psnr_rgb": psnr(image, target),
        "psnr_y": psnr(image, target, channel="y"),
        "ssim_rgb_3d": ssim(image, target, variant="3d"),
        "ssim_y_replicate": ssim(image, target, variant="replicate", channel="y"),
        "ssim_y_valid": ssim(image, target, channel="y"),
        "ssim_rgb_valid_mean": ssim(image, target),
    }
    assert measured == pytest.approx({key: published[key] for key in measured}, abs=1e-4)


def test_a_megapixel_pair_is_quick():
    target = photo(4, 1000, 1000)
    image = noisy(target, 10)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        psnr(image, target)
        ssim(image, target)
        seconds.append(time.perf_counter() - start)
    # 0.15 s on one core of a 2020s machine; the margin is for busy ones.
    assert min(seconds) < 1.0
