"""Synthetic rain, noise and blur: pure functions of an image, parameters and a random generator.

`degrade(image, "rain", rng)` draws a random degradation; `DEGRADATIONS` names the kinds. The same
generator state gives the same bits. For ranges of your own, call the functions of `noise`,
`camera`, `rain` and `blur` with their parameter dataclasses.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from drcnet_cli.degrade import blur
from drcnet_cli.degrade.base import Array, Degraded, Streaks
from drcnet_cli.degrade.blur import add_blur
from drcnet_cli.degrade.camera import add_camera_noise
from drcnet_cli.degrade.haze import add_mixed_haze
from drcnet_cli.degrade.noise import (
    GaussianParams,
    add_gaussian_noise,
    add_noise,
    add_varying_noise,
)
from drcnet_cli.degrade.rain import HEAVY, LIGHT, add_mixed_rain, add_rain

__all__ = ["DEGRADATIONS", "MARGINS", "MIXES", "Degradation", "Degraded", "Streaks", "degrade"]


# One kind degrades an image with random numbers; only rain makes use of rendered layers.
Degradation: TypeAlias = Callable[[Array, np.random.Generator, Streaks], Degraded]


def _gaussian(sigma: float) -> Degradation:
    """Make the kind of one level of noise, clipped as a stored picture is."""
    params = GaussianParams((sigma, sigma), clip_share=1.0)
    return lambda image, rng, streaks=(): add_gaussian_noise(image, rng, params)


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
    "airnet5": _one_of("airnet5"),
}

# Pixels at the border of a crop that are degraded otherwise than inside a picture: the reach of a
# blur, and of a demosaicing or a JPEG block. To be cut off; kinds that are not here have none.
MARGINS = {"blur": 32, "blur-light": 16, "blur-heavy": 32, "noise": 8, "camera": 8}


def degrade(image: Array, kind: str, rng: np.random.Generator, streaks: Streaks = ()) -> Degraded:
    """Degrade an image, float32 RGB 3 x H x W in [0, 1], in one of the ways of `DEGRADATIONS`.

    Both results have its shape; `degraded` holds whole 255ths except for Gaussian noise. `streaks`:
    rendered rain layers (uint8, H x W) that rain draws a part of its layers from.
    """
    return DEGRADATIONS[kind](image, rng, streaks)
