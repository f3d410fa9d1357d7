"""The one place where 8-bit and 16-bit values become numbers in [0, 1], and such numbers bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_unit(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return H x W x C uint8 or uint16 as float32 in [0, 1]; floating point is not clipped."""
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32, copy=False)
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def to_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return pixels of any type in 8 bits: clipped to [0, 1], rounded, half to even."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(np.clip(to_unit(pixels), 0, 1) * np.float32(255)).astype(np.uint8)
