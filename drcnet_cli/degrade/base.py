"""What every degradation shares: the result, layouts, light curves, 8 bits and JPEG.

An image is float32 RGB, 3 x H x W, in [0, 1]; inside a degradation H x W x 3, as OpenCV wants.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from drcnet_cli.imageio.pixels import to_uint8, to_unit

Array = np.ndarray[Any, np.dtype[Any]]
Range = tuple[float, float]
Streaks = Sequence[Array]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_LEVELS = 65536


@dataclass(frozen=True)
class Degraded:
    """A pair to learn from; both are float32, 3 x H x W, aligned.

    `clean` is what restoring `degraded` should give: the given image, which the camera-noise
    pipeline or a video's blur may have softened. `mask`, 1 x H x W of zeros and ones, tells which
    pixels are damaged, where the degradation leaves others as they are.
    """

    degraded: Array
    clean: Array
    mask: Array | None = None


# An image and where what is drawn comes from, as `add_shadow` takes them.
Degrade = Callable[[Array, np.random.Generator], Degraded]


def to_hwc(image: Array) -> Array:
    """Turn 3 x H x W into contiguous H x W x 3 (a copy).

    Raises `ValueError` for anything but float32 with three channels and at least one pixel.
    """
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != np.float32 or image.size == 0:
        raise ValueError(f"expected float32 3 x H x W, got {image.dtype} {image.shape}")
    return np.array(image.transpose(1, 2, 0), order="C")


def to_chw(image: Array) -> Array:
    """Turn H x W x 3 into contiguous 3 x H x W, clipped to [0, 1]."""
    return np.clip(np.ascontiguousarray(image.transpose(2, 0, 1)), 0, 1).astype(
        np.float32, copy=False
    )


def log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    """Draw a number whose logarithm is uniform between those of `bounds`."""
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


def chance(rng: np.random.Generator, share: float) -> bool:
    """Draw true in a `share` of the calls."""
    return bool(rng.random() < share)


def quantize(image: Array) -> Array:
    """Clip to [0, 1] and round to 8 bits, as a stored picture is."""
    return np.rint(np.clip(image, 0, 1) * np.float32(255)) * np.float32(1 / 255)


def jpeg(
    image: Array,
    quality: int,
    rng: np.random.Generator,
    *,
    aligned: bool = False,
    halved: bool | None = None,
) -> Array:
    """Compress and decompress H x W x 3 at `quality` (1..100).

    The 8 x 8 grid starts at a random phase, as a crop need not start on a block, or `aligned` at
    the corner. `halved`: chroma at half the resolution; None draws that.
    """
    top, left = (0, 0) if aligned else (int(offset) for offset in rng.integers(0, 8, 2))
    padded = cv2.copyMakeBorder(image, top, 0, left, 0, cv2.BORDER_REPLICATE)
    halved = chance(rng, 0.5) if halved is None else halved
    sampling = (
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    )
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    stored = to_uint8(padded)[..., ::-1]
    encoded = cv2.imencode(".jpg", stored, options)[1]
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return to_unit(decoded[top:, left:, ::-1])


def visible_mask(mask: Array, degraded: Array, clean: Array) -> Array:
    """Return a mask (H x W) as 1 x H x W float32, without what nobody could see damaged.

    A pixel stays if one within four of it differs by more than one 255th: a shadow on black or a
    drop before an even sky leaves nothing to find.
    """
    differs = np.abs(degraded - clean).max(2) > 1.5 / 255
    near = cv2.dilate(differs.astype(np.uint8), np.ones((9, 9), np.uint8))
    return (mask & (near > 0)).astype(np.float32)[None]


@dataclass(frozen=True)
class Curve:
    """A display curve and its inverse, as tables over [0, 1] of 65536 levels each."""

    to_linear: Array
    to_display: Array


@cache
def display_curve(contrast: float = 0.0) -> Curve:
    """Build the sRGB curve, followed by an S-shaped tone curve of strength `contrast` (0..1).

    The tone curve blends the identity with the smoothstep `3x^2 - 2x^3` of Brooks et al. 2019.
    """
    grid = np.linspace(0, 1, _LEVELS)
    gamma = np.where(grid <= 0.0031308, 12.92 * grid, 1.055 * grid ** (1 / 2.4) - 0.055)
    display = (1 - contrast) * gamma + contrast * (3 * gamma**2 - 2 * gamma**3)
    linear = np.interp(grid, display, grid)
    return Curve(linear.astype(np.float32), display.astype(np.float32))


def look_up(table: Array, image: Array) -> Array:
    """Apply a table of `Curve` to an image; values outside [0, 1] are clipped."""
    scaled = np.clip(image, 0, 1) * np.float32(_LEVELS - 1)
    return table[np.rint(scaled).astype(np.uint16)]
