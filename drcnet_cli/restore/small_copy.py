"""Smooth damage, mended in a small copy of the picture, and what changed there carried over.

Haze and shadows are wider than a tile, which holds too little of them to tell them from what they
lie on, and nothing of them is finer than a small copy shows. So the network gets the whole picture,
small; then each pixel of the picture itself changes as its surroundings did there, by a line from
before to after that is fitted in each channel (the fast guided filter of He and Sun 2015, guided by
the damaged picture): fine detail is kept, and grows with the contrast.

A picture that is small already is its own copy: what is fitted is more even than what a network,
not everywhere as sure, makes of one shade.

Drops on the lens are out of focus, and as much larger as the picture is: in a large one's tiles a
network that learned on pictures of some hundred pixels knows them no more. What changed is added
there, for what is seen through a drop follows no line; a picture that is small needs no copy.

The side of the copy and the radius are the task's; what they bring: `benchmarks/small_copy.py`.
"""

import cv2
import numpy as np

from drcnet_cli.imageio import from_unit, to_planes

EVENNESS = 1e-3  # variance below which a surface shifts in brightness without gaining contrast
FADE = 4  # pixels of the picture
_WHITE = 128
_BAND = 64  # rows at once: memory does not grow with what each pixel's line takes


def reduced(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return H x W x C pixels with `side` pixels along the longer side, in their own type.

    Pictures that are no larger come back as they are.
    """
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    small = max(1, round(height * scale)), max(1, round(width * scale))
    copy = cv2.resize(pixels, small[::-1], interpolation=cv2.INTER_AREA)
    return copy.reshape(*small, pixels.shape[2])


def enlarged(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return h x w x C pixels as height x width x C, in their own type."""
    large = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return large.reshape(height, width, pixels.shape[2])


def carry_over(
    pixels: np.ndarray, before: np.ndarray, after: np.ndarray, radius: int
) -> np.ndarray:
    """Change H x W x C pixels as a small copy of them, h x w x C, changed; same type back.

    Lines are fitted over `radius` pixels of the copy, and averaged over as many; with a radius of 0
    the change is added. The copy may be of another type. Where it did not change, pixels stay
    exactly as they are.
    """
    height, width = pixels.shape[:2]
    fitted = _fit(_unit(before), _unit(after), radius)
    lines = [enlarged(each, len(before), width) for each in fitted]
    place = (np.arange(height, dtype=np.float32) + 0.5) * (len(before) / height) - 0.5
    place = place.clip(0, len(before) - 1)
    above = place.astype(np.intp)
    below = np.minimum(above + 1, len(before) - 1)
    share = (place - above).astype(np.float32)[:, None, None]
    changed = np.empty_like(pixels)
    for top in range(0, height, _BAND):
        rows = slice(top, top + _BAND)
        slope, offset = (
            each[above[rows]] + share[rows] * (each[below[rows]] - each[above[rows]])
            for each in lines
        )
        mended = slope * _unit(pixels[rows]) + offset
        changed[rows] = from_unit(mended.transpose(2, 0, 1), like=changed[rows])
    return changed


def faded(mask: np.ndarray) -> np.ndarray:
    """Return by how much each pixel may change, H x W in 0..1, of an H x W x 1 uint8 mask.

    1 where it is white (128 and more), and from there to 0 within 2 * FADE pixels.
    """
    side = 2 * FADE + 1
    white = np.where(mask >= _WHITE, np.uint8(255), np.uint8(0))
    wide = cv2.dilate(white, np.ones((side, side), np.uint8))
    return cv2.blur(wide, (side, side)) / np.float32(255)


def _fit(before: np.ndarray, after: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit after = slope * before + offset around each pixel: two of h x w x C."""
    if not radius:
        return np.ones_like(before), after - before

    def average(values: np.ndarray) -> np.ndarray:
        side = 2 * radius + 1
        mean = cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)
        return mean.reshape(values.shape)

    mean, mean_after = average(before), average(after)
    variance = average(before * before) - mean * mean
    covariance = average(before * after) - mean * mean_after
    # Where nothing varies the slope is 1.
    slope = (covariance + EVENNESS) / (variance + EVENNESS)
    return average(slope), average(mean_after - slope * mean)


def _unit(pixels: np.ndarray) -> np.ndarray:
    """Return H x W x 1 or 3 pixels as H x W x 3 float32 in [0, 1]; gray is repeated."""
    return np.ascontiguousarray(to_planes(pixels).transpose(1, 2, 0))
