"""Several distortions at once: blur, noise and JPEG in RL-Restore's levels, and old pictures.

RL-Restore (Yu et al. 2018, "Crafting a Toolchain for Image Restoration by Deep Reinforcement
Learning") draws a level of ten for each of the three, whose sum is bounded: FDR-Net and others are
measured with that. What people keep has more: it was shrunk and enlarged, stored twice, or rain
fell.
"""

from dataclasses import dataclass, replace
from itertools import product

import cv2
import numpy as np

from drcnet_cli.degrade.base import (
    Array,
    Degraded,
    Range,
    Streaks,
    chance,
    jpeg,
    log_uniform,
    quantize,
    to_chw,
    to_hwc,
)
from drcnet_cli.degrade.camera import CameraParams, draw_sensor, sensor_noise
from drcnet_cli.degrade.rain import LIGHT, RainParams, blend, rain_layer

# The bounds between the ten levels of each distortion, in RL-Restore's generator.
BLURS = tuple(0.5 * step for step in range(11))  # standard deviation in pixels
NOISES = tuple(5.0 * step for step in range(11))  # standard deviation in 255ths
QUALITIES = (100, 80, 60, 50, 40, 35, 30, 25, 20, 15, 10)
_LEVELS = range(1, 11)
_KERNEL = 21  # side of the blur's window
_SHARPEST = 0.05  # pixels: what blurs less changes nothing


def combinations(least: int, most: int) -> tuple[tuple[int, int, int], ...]:
    """Return RL-Restore's levels of blur, noise and JPEG, 1..10 each, for one severity.

    Their sum less 2 is in `least`..`most`.
    """
    return tuple(
        (blur, noise, jpeg)
        for blur, noise, jpeg in product(_LEVELS, _LEVELS, _LEVELS)
        if least <= blur + noise + jpeg - 2 <= most
    )


MILD, MODERATE, SEVERE = combinations(9, 11), combinations(12, 17), combinations(18, 20)


def add_levels(
    image: Array,
    rng: np.random.Generator,
    severity: tuple[tuple[int, int, int], ...],
    *,
    anywhere: bool = False,
) -> Degraded:
    """Blur, add noise and compress by levels that are drawn from `severity`, as RL-Restore does.

    All combinations are equally likely, and so are all values within a level. Colour is stored at
    half the resolution, and the 8 x 8 grid begins at the corner; `anywhere`: colour may be whole,
    and the grid has a random phase, as in a part of a picture. The clean image is the given one.
    """
    clean = to_hwc(image)
    levels = severity[int(rng.integers(len(severity)))]
    sigma, noise, quality = (
        rng.uniform(min(bounds[level - 1 : level + 1]), max(bounds[level - 1 : level + 1]))
        for bounds, level in zip((BLURS, NOISES, QUALITIES), levels, strict=True)
    )
    blurred = soften(clean, sigma)
    grain = np.float32(noise / 255) * rng.standard_normal(clean.shape, dtype=np.float32)
    stored = _store(blurred + grain, round(quality), rng, anywhere=anywhere)
    return Degraded(to_chw(stored), to_chw(clean))


def soften(picture: Array, sigma: float) -> Array:
    """Blur H x W x 3 by a Gaussian of 21 x 21 pixels, the border repeated."""
    if sigma < _SHARPEST:
        return picture
    window = (_KERNEL, _KERNEL)
    return cv2.GaussianBlur(picture, window, sigma, borderType=cv2.BORDER_REPLICATE)


def add_jpeg(image: Array, rng: np.random.Generator, quality: int) -> Degraded:
    """Store an image as a JPEG: colour at half the resolution, blocks from the corner.

    The clean image is the given one.
    """
    clean = to_hwc(image)
    return Degraded(to_chw(_store(clean, quality, rng, anywhere=False)), to_chw(clean))


def _store(picture: Array, quality: int, rng: np.random.Generator, *, anywhere: bool) -> Array:
    if anywhere:
        return jpeg(picture, quality, rng)
    return jpeg(picture, quality, rng, aligned=True, halved=True)


@dataclass(frozen=True)
class OldParams:
    """Ranges of what happened to a picture that people kept, in the order that it happened.

    `soft_share`, `soft`: a soft lens or a scan, the Gaussian's standard deviation in pixels.
    `rain_share`, `rain`: drawn rain. `small_share`, `small`: the picture was stored at this share
    of its size, and enlarged in the end. `camera_share`: how often noise is a camera's and not
    white; `noise_share`: how often there is any; `sigma`: white noise's, in 255ths. `quality`:
    JPEG's, drawn by its logarithm; `twice_share`: how often it is stored once more, afterwards.
    """

    soft_share: float = 0.6
    soft: Range = (0.3, 2.5)
    rain_share: float = 0.1
    rain: RainParams = LIGHT
    small_share: float = 0.35
    small: Range = (0.4, 0.95)
    noise_share: float = 0.75
    camera_share: float = 0.4
    sigma: Range = (1.0, 35.0)
    camera: CameraParams = CameraParams(shot=(5e-4, 0.02))
    quality: Range = (10.0, 90.0)
    jpeg_share: float = 0.85
    twice_share: float = 0.25


OLD = OldParams()


def age(
    image: Array, rng: np.random.Generator, params: OldParams = OLD, streaks: Streaks = ()
) -> Degraded:
    """Do to a picture what happens to old ones; the clean image is the given one.

    `streaks`: rendered rain layers (uint8, H x W) to take some of the layers from.
    """
    clean = to_hwc(image)
    height, width = clean.shape[:2]
    picture = clean
    if chance(rng, params.soft_share):
        picture = soften(picture, log_uniform(rng, params.soft))
    if chance(rng, params.rain_share):
        layer = rain_layer((height, width), rng, params.rain, streaks)
        picture = blend(picture, layer, rng.uniform(0, 1))
    if chance(rng, params.small_share):
        share = rng.uniform(*params.small)
        size = (max(1, round(share * width)), max(1, round(share * height)))
        how = _one_of((cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC), rng)
        picture = cv2.resize(picture, size, interpolation=how)
    if chance(rng, params.noise_share):
        picture = picture + _grain(picture, rng, params)
    if chance(rng, params.jpeg_share):
        picture = _compress(picture, rng, params.quality)
    if picture.shape != clean.shape:
        how = _one_of((cv2.INTER_LINEAR, cv2.INTER_CUBIC), rng)
        picture = cv2.resize(picture, (width, height), interpolation=how)
    if chance(rng, params.twice_share):
        picture = _compress(picture, rng, (max(params.quality[0], 30.0), 95.0))
    return Degraded(to_chw(quantize(picture)), to_chw(clean))


def _one_of(choices: tuple[int, ...], rng: np.random.Generator) -> int:
    return choices[int(rng.integers(len(choices)))]


def _grain(picture: Array, rng: np.random.Generator, params: OldParams) -> Array:
    """Draw noise for H x W x 3: a camera's, or white of one level."""
    if chance(rng, params.camera_share):
        return sensor_noise(np.clip(picture, 0, 1), draw_sensor(rng, params.camera), rng)
    sigma = np.float32(rng.uniform(*params.sigma) / 255)
    return sigma * rng.standard_normal(picture.shape, dtype=np.float32)


def _compress(picture: Array, rng: np.random.Generator, quality: Range) -> Array:
    return jpeg(picture, round(log_uniform(rng, quality)), rng)


@dataclass(frozen=True)
class HybridParams:
    """The mix to train on: shares of RL-Restore's levels, of JPEG alone, and of old pictures.

    `severities`: how often each level is drawn. `quality`: of JPEG alone.
    """

    level_share: float = 0.4
    severities: tuple[float, float, float] = (0.25, 0.5, 0.25)
    jpeg_share: float = 0.3
    quality: Range = (8.0, 80.0)
    old: OldParams = OLD


HYBRID = HybridParams()
JPEG_ONLY = replace(OLD, soft_share=0, rain_share=0, small_share=0, noise_share=0, jpeg_share=1)


def add_hybrid(
    image: Array,
    rng: np.random.Generator,
    params: HybridParams = HYBRID,
    streaks: Streaks = (),
) -> Degraded:
    """Degrade in one of the ways of `HybridParams`; the clean image is the given one."""
    kind = rng.random()
    if kind < params.level_share:
        severity = (MILD, MODERATE, SEVERE)[int(rng.choice(3, p=params.severities))]
        return add_levels(image, rng, severity, anywhere=True)
    if kind < params.level_share + params.jpeg_share:
        alone = replace(JPEG_ONLY, quality=params.quality)
        return age(image, rng, alone)
    return age(image, rng, params.old, streaks)
