"""Synthetic damage: pure functions of an image, parameters and a random generator.

`degrade(image, "rain", rng)` draws a random degradation; `DEGRADATIONS` names the kinds, and
`rain+noise` is rain and then noise. The same generator state gives the same bits. For ranges of
your own, call the functions of `noise`, `camera`, `rain`, `blur` and `haze` with their parameter
dataclasses.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from drcnet_cli.degrade import blur, drops, hybrid, shadow
from drcnet_cli.degrade.base import Array, Degraded, Streaks
from drcnet_cli.degrade.blur import add_blur
from drcnet_cli.degrade.camera import add_camera_noise
from drcnet_cli.degrade.drops import add_drops
from drcnet_cli.degrade.haze import add_mixed_haze
from drcnet_cli.degrade.hybrid import add_hybrid, add_jpeg, add_levels
from drcnet_cli.degrade.noise import (
    GaussianParams,
    add_gaussian_noise,
    add_noise,
    add_varying_noise,
)
from drcnet_cli.degrade.nothing import leave_sound
from drcnet_cli.degrade.rain import HEAVY, LIGHT, add_mixed_rain, add_rain
from drcnet_cli.degrade.shadow import add_shadow

__all__ = [
    "DEGRADATIONS",
    "MIXES",
    "RAINY",
    "Degradation",
    "Degraded",
    "Streaks",
    "degrade",
    "is_kind",
    "margin_of",
]


# One kind degrades an image with random numbers; only rain makes use of rendered layers.
Degradation: TypeAlias = Callable[[Array, np.random.Generator, Streaks], Degraded]


def _gaussian(sigma: float) -> Degradation:
    """Make the kind of one level of noise, clipped as a stored picture is."""
    params = GaussianParams((sigma, sigma), clip_share=1.0)
    return lambda image, rng, streaks=(): add_gaussian_noise(image, rng, params)


def _jpeg(quality: int) -> Degradation:
    """Make the kind that is a JPEG of one quality."""
    return lambda image, rng, streaks=(): add_jpeg(image, rng, quality)


def _one_of(mix: str) -> Degradation:
    """Make the kind that is any of a mix's."""
    kinds = MIXES[mix]
    return lambda image, rng, streaks=(): degrade(
        image, kinds[int(rng.integers(len(kinds)))], rng, streaks
    )


# Several kinds under one name, to be trained on in turn: AirNet's section 4.1.
MIXES = {"airnet5": ("gaussian-15", "gaussian-25", "gaussian-50", "rain", "haze")}

DEGRADATIONS: dict[str, Degradation] = {
    "noise": lambda image, rng, streaks=(): add_noise(image, rng),
    "gaussian": lambda image, rng, streaks=(): add_gaussian_noise(image, rng),
    "gaussian-15": _gaussian(15),
    "gaussian-25": _gaussian(25),
    "gaussian-50": _gaussian(50),
    "gaussian-varying": lambda image, rng, streaks=(): add_varying_noise(image, rng),
    "camera": lambda image, rng, streaks=(): add_camera_noise(image, rng),
    "rain": add_mixed_rain,
    "rain-light": lambda image, rng, streaks=(): add_rain(image, rng, LIGHT, streaks),
    "rain-heavy": lambda image, rng, streaks=(): add_rain(image, rng, HEAVY, streaks),
    "haze": lambda image, rng, streaks=(): add_mixed_haze(image, rng),
    "blur": lambda image, rng, streaks=(): add_blur(image, rng),
    "blur-light": lambda image, rng, streaks=(): add_blur(image, rng, blur.LIGHT),
    "blur-heavy": lambda image, rng, streaks=(): add_blur(image, rng, blur.HEAVY),
    "blur-video": lambda image, rng, streaks=(): add_blur(image, rng, blur.VIDEO),
    "raindrop": lambda image, rng, streaks=(): add_drops(image, rng),
    "raindrop-light": lambda image, rng, streaks=(): add_drops(image, rng, drops.LIGHT),
    "raindrop-heavy": lambda image, rng, streaks=(): add_drops(image, rng, drops.HEAVY),
    "shadow": lambda image, rng, streaks=(): add_shadow(image, rng),
    "shadow-hard": lambda image, rng, streaks=(): add_shadow(image, rng, shadow.HARD),
    "shadow-soft": lambda image, rng, streaks=(): add_shadow(image, rng, shadow.SOFT),
    "hybrid": lambda image, rng, streaks=(): add_hybrid(image, rng, streaks=streaks),
    "hybrid-mild": lambda image, rng, streaks=(): add_levels(image, rng, hybrid.MILD),
    "hybrid-moderate": lambda image, rng, streaks=(): add_levels(image, rng, hybrid.MODERATE),
    "hybrid-severe": lambda image, rng, streaks=(): add_levels(image, rng, hybrid.SEVERE),
    "jpeg-10": _jpeg(10),
    "jpeg-20": _jpeg(20),
    "jpeg-40": _jpeg(40),
    "airnet5": _one_of("airnet5"),
    "nothing": lambda image, rng, streaks=(): leave_sound(image, rng),
}

RAINY = ("rain", "rain-light", "rain-heavy", "hybrid")  # which draw from rendered layers, too

# Pixels at the border of a crop that are degraded otherwise than inside a picture: the reach of a
# blur, and of a demosaicing or a JPEG block. To be cut off; kinds that are not here have none.
MARGINS = {
    "blur": 32,
    "blur-light": 16,
    "blur-heavy": 32,
    "blur-video": 32,
    "noise": 8,
    "camera": 8,
    "nothing": 8,
    "hybrid": 16,
    "hybrid-mild": 16,
    "hybrid-moderate": 16,
    "hybrid-severe": 16,
    "jpeg-10": 8,
    "jpeg-20": 8,
    "jpeg-40": 8,
}


def is_kind(kind: str) -> bool:
    """Tell whether a text names a kind, or several that follow each other: `rain+noise`."""
    return all(part in DEGRADATIONS for part in kind.split("+"))


def margin_of(kind: str) -> int:
    """Return the pixels at a crop's border that this kind degrades otherwise than inside."""
    return sum(MARGINS.get(part, 0) for part in kind.split("+"))


def degrade(image: Array, kind: str, rng: np.random.Generator, streaks: Streaks = ()) -> Degraded:
    """Degrade an image, float32 RGB 3 x H x W in [0, 1], in one of the ways of `DEGRADATIONS`.

    `kind` may name several, as `haze+camera`: each degrades what the one before it made. Both
    results have the image's shape; `degraded` holds whole 255ths except for Gaussian noise. A mask
    is that of all kinds that have one.
    `streaks`: rendered rain layers (uint8, H x W) that rain draws a part of its layers from.
    """
    first, *others = kind.split("+")
    pair = DEGRADATIONS[first](image, rng, streaks)
    for other in others:
        degraded = np.clip(pair.degraded, 0, 1)
        more = DEGRADATIONS[other](degraded, rng, streaks)
        masks = [mask for mask in (pair.mask, more.mask) if mask is not None]
        pair = Degraded(more.degraded, pair.clean, np.maximum.reduce(masks) if masks else None)
    return pair
