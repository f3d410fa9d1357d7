"""Noise: blind Gaussian, as in the published tables, and a mix of it with camera noise."""

from dataclasses import dataclass

import numpy as np

from drcnet_cli.degrade.base import Array, Degraded, Range, chance, to_chw, to_hwc
from drcnet_cli.degrade.camera import CameraParams, add_camera_noise


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


def add_noise(
    image: Array, rng: np.random.Generator, params: NoiseParams = NoiseParams()
) -> Degraded:
    """Add Gaussian or camera noise, drawn by `params.camera_share`."""
    if chance(rng, params.camera_share):
        return add_camera_noise(image, rng, params.camera)
    return add_gaussian_noise(image, rng, params.gaussian)
