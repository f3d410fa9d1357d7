"""Floating-point pixels: one rule for white, whoever reads.

Nothing in a file says which value of a floating-point picture is white. It is 1 here, unless the
caller names another; values beyond it are never guessed at, since a guess that is wrong would make
a picture white or black without a word.
"""

import math
from dataclasses import replace

import numpy as np

from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.imageio.picture import Picture

# Less than half a step of 8 bits beyond the range is rounding, as arithmetic and resampling leave.
_ROUNDING = 1 / 512
# What white usually is: 8 bits, 10, 12, 14 and 16.
_USUAL_WHITES = (255, 1023, 4095, 16383, 65535)


def check_float_range(white: float | None) -> None:
    """Raise UsageError for a value that cannot be white."""
    if white is not None and not (np.isfinite(white) and white > 0):
        raise UsageError(f"--float-range cannot be {white:g}.", "Use a positive number, as 255")


def fit_floats(picture: Picture, white: float | None) -> Picture:
    """Return the picture with floats in [0, 1]: divided by `white`, where that is given.

    Integers pass as they are. With `white` (of the file's values) what lies outside 0..white is
    clipped, and said; without it only rounding errors are. Raises ImageError for values beyond,
    naming their range, and for NaN and infinity.
    """
    pixels = picture.pixels
    if pixels.dtype != np.float32:
        return picture
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError("holds NaN or infinite values.", "Replace them first.")
    peak = 1.0 if white is None else white
    if white is None and (low < -_ROUNDING or high > 1 + _ROUNDING):
        raise ImageError(
            f"holds values from {low:.4g} to {high:.4g}, outside 0..1, where 1 is white.",
            f"Say which value is white (drcnet restore --float-range {_likely_white(high)}), "
            "or divide the values by it first",
        )
    alpha = picture.alpha
    if peak != 1:
        np.divide(pixels, np.float32(peak), out=pixels)
        alpha = None if alpha is None else np.clip(alpha / np.float32(peak), 0, 1)
    metadata = replace(picture.metadata, float_white=peak)
    if low < 0 or high > peak:
        np.clip(pixels, 0, 1, out=pixels)
        note = f"values outside 0..{peak:g} (found {low:.4g} to {high:.4g}) are clipped"
        metadata = replace(metadata, notes=(*metadata.notes, note))
    return replace(picture, pixels=pixels, alpha=alpha, metadata=metadata)


def _likely_white(high: float) -> int:
    """Return the smallest usual value of white that a picture's largest value fits."""
    return next((white for white in _USUAL_WHITES if high <= white), math.ceil(high))
