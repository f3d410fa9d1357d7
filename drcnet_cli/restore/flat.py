"""Surfaces of one exact value: there is nothing to remove from them, so they stay.

A logo, a chroma-key wall or a clipped sky has no noise, streaks or edges, but a network that was
trained on photographs may draw a pattern into it: its statistics have nothing else to go by.
"""

import cv2
import numpy as np

REACH = 8  # pixels: a surface counts from so far within its edges, and wholly from twice as far
_ROWS = 512  # worked on at once, so that memory does not grow with the picture
_WINDOW = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)


def keep_flat(restored: np.ndarray, pixels: np.ndarray) -> None:
    """Put back, in place, what lies well within flat surfaces of `pixels`, with soft edges.

    Both H x W x C and of one type: uint8, uint16 or float32.
    """
    for top in range(0, len(pixels), _ROWS):
        rows = slice(top, top + _ROWS)
        above = min(top, 3 * REACH)
        weight = flatness(pixels[top - above : top + _ROWS + 3 * REACH])[above : above + _ROWS]
        if not weight.any():
            continue
        weight = weight[: len(restored[rows]), :, None]
        mixed = restored[rows] + weight * (pixels[rows].astype(np.float32) - restored[rows])
        if np.issubdtype(restored.dtype, np.integer):
            np.rint(mixed, out=mixed)
        # A weight of 1 is the input itself, whatever float32 makes of large values.
        restored[rows] = np.where(weight == 1, pixels[rows], mixed.astype(restored.dtype))


def flatness(pixels: np.ndarray) -> np.ndarray:
    """Return how far within a flat surface each pixel lies: H x W float32, 0 outside, 1 deep in.

    Beyond the border the picture goes on as it ends.
    """
    border = cv2.BORDER_REPLICATE
    even = cv2.dilate(pixels, _WINDOW, borderType=border) == cv2.erode(
        pixels, _WINDOW, borderType=border
    )
    flat = np.logical_and.reduce([*np.moveaxis(even.reshape(pixels.shape), 2, 0)])
    if not flat.any():  # as in most photographs
        return np.zeros(flat.shape, np.float32)
    inner = cv2.erode(flat.astype(np.uint8), _WINDOW, borderType=border).astype(np.float32)
    blurred = cv2.blur(inner, _WINDOW.shape, borderType=border)
    return np.where(blurred > 1 - 1e-4, np.float32(1), blurred)
