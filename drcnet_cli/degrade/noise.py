"""Noise: Gaussian, of one level or four, as in the published tables; a mix with camera noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drcnet_cli.degrade.base import Array, Degraded, Range, chance, to_chw, to_hwc
from drcnet_cli.degrade.camera import CameraParams, add_camera_noise

VARYING = (0, 15, 25, 50)  # sigmas of a picture's four quarters, in units of 1/255


@dataclass(frozen=True)
class GaussianParams:
    """White Gaussian noise of one unknown level per image.

    `sigma` is in units of 1/255, drawn uniformly. `clip_share`: how often the result is clipped to
    [0, 1]; the published tables add noise and do not clip, stored pictures are clipped.
    """

    sigma: Range = (0.0, 55.0)
    clip_share: float = 0.5


@dataclass(frozen=True)
class NoiseParams:
    """A mix: camera noise in `camera_share` of the images, Gaussian noise in the others.

    Camera noise is mostly weak and learned sooner, so that Gaussian noise has the larger share.
    """

    camera_share: float = 0.35
    gaussian: GaussianParams = GaussianParams()
    camera: CameraParams = CameraParams()


def add_gaussian_noise(
    image: Array, rng: np.random.Generator, params: GaussianParams = GaussianParams()
) -> Degraded:
    """Add white Gaussian noise of a random level; the clean image is the given one."""
    clean = to_chw(to_hwc(image))
    sigma = np.float32(rng.uniform(*params.sigma) / 255)
    noisy = clean + sigma * rng.standard_normal(clean.shape, dtype=np.float32)
    if chance(rng, params.clip_share):
        np.clip(noisy, 0, 1, out=noisy)
    return Degraded(noisy, clean)


def in_quarters(values: Sequence[float], height: int, width: int) -> Array:
    """Lay four values out as the quarters of a picture, row by row: float32, height x width.

    AirNet's section 4.5 gives its four regions the sigmas `VARYING`; where they lie is ours.
    """
    down = (np.arange(height) >= -(-height // 2)).astype(int)
    right = (np.arange(width) >= -(-width // 2)).astype(int)
    return np.array(values, np.float32).reshape(2, 2)[down[:, None], right]


def add_varying_noise(image: Array, rng: np.random.Generator) -> Degraded:
    """Add white Gaussian noise of another level to each quarter, clipped as a stored picture is."""
    clean = to_chw(to_hwc(image))
    sigma = in_quarters(VARYING, *clean.shape[1:]) / np.float32(255)
    noisy = clean + sigma * rng.standard_normal(clean.shape, dtype=np.float32)
    return Degraded(np.clip(noisy, 0, 1), clean)


def add_noise(
    image: Array, rng: np.random.Generator, params: NoiseParams = NoiseParams()
) -> Degraded:
    """Add Gaussian or camera noise, drawn by `params.camera_share`."""
    if chance(rng, params.camera_share):
        return add_camera_noise(image, rng, params.camera)
    return add_gaussian_noise(image, rng, params.gaussian)
