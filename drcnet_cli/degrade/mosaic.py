"""The Bayer mosaic: sampling it and linear demosaicing.

`phase` is the row and column (0 or 1 each) of a red pixel; blue lies diagonally opposite.
"""

import cv2
import numpy as np

from drcnet_cli.degrade.base import Array

_BILINEAR_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_BILINEAR_COLOR = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4

# Malvar, He and Cutler 2004, "High-quality linear interpolation for demosaicing", figure 2.
_GREEN_AT_COLOR = (
    np.array(
        [
            [0, 0, -1, 0, 0],
            [0, 0, 2, 0, 0],
            [-1, 2, 4, 2, -1],
            [0, 0, 2, 0, 0],
            [0, 0, -1, 0, 0],
        ],
        np.float32,
    )
    / 8
)
_COLOR_AT_GREEN_IN_ROW = (
    np.array(
        [
            [0, 0, 0.5, 0, 0],
            [0, -1, 0, -1, 0],
            [-1, 4, 5, 4, -1],
            [0, -1, 0, -1, 0],
            [0, 0, 0.5, 0, 0],
        ],
        np.float32,
    )
    / 8
)
_COLOR_AT_OPPOSITE = (
    np.array(
        [
            [0, 0, -1.5, 0, 0],
            [0, 2, 0, 2, 0],
            [-1.5, 0, 6, 0, -1.5],
            [0, 2, 0, 2, 0],
            [0, 0, -1.5, 0, 0],
        ],
        np.float32,
    )
    / 8
)


def sample_mosaic(image: Array, phase: tuple[int, int]) -> Array:
    """Keep of H x W x 3 the one colour that each pixel of the Bayer pattern sees: H x W."""
    row, column = phase
    mosaic = image[..., 1].copy()
    mosaic[row::2, column::2] = image[row::2, column::2, 0]
    mosaic[1 - row :: 2, 1 - column :: 2] = image[1 - row :: 2, 1 - column :: 2, 2]
    return mosaic


def demosaic(mosaic: Array, phase: tuple[int, int], *, malvar: bool) -> Array:
    """Interpolate H x W to H x W x 3, bilinearly or by Malvar's filters; linear in `mosaic`."""
    return _malvar(mosaic, phase) if malvar else _bilinear(mosaic, phase)


def _filter(plane: Array, kernel: Array) -> Array:
    # Reflecting about the border pixel keeps the pattern's phase.
    return cv2.filter2D(plane, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)


def _bilinear(mosaic: Array, phase: tuple[int, int]) -> Array:
    row, column = phase
    red, green, blue = np.zeros_like(mosaic), mosaic.copy(), np.zeros_like(mosaic)
    for plane, (y, x) in ((red, (row, column)), (blue, (1 - row, 1 - column))):
        plane[y::2, x::2] = mosaic[y::2, x::2]
        green[y::2, x::2] = 0
    planes = (
        _filter(red, _BILINEAR_COLOR),
        _filter(green, _BILINEAR_GREEN),
        _filter(blue, _BILINEAR_COLOR),
    )
    return np.stack(planes, axis=2)


def _malvar(mosaic: Array, phase: tuple[int, int]) -> Array:
    green_at_color = _filter(mosaic, _GREEN_AT_COLOR)
    in_row = _filter(mosaic, _COLOR_AT_GREEN_IN_ROW)
    in_column = _filter(mosaic, np.ascontiguousarray(_COLOR_AT_GREEN_IN_ROW.T))
    opposite = _filter(mosaic, _COLOR_AT_OPPOSITE)
    image = np.repeat(mosaic[..., None], 3, axis=2)
    red_site, blue_site = phase, (1 - phase[0], 1 - phase[1])
    for channel, own, other in ((0, red_site, blue_site), (2, blue_site, red_site)):
        y, x = own
        image[y::2, x::2, 1] = green_at_color[y::2, x::2]
        image[y::2, 1 - x :: 2, channel] = in_row[y::2, 1 - x :: 2]
        image[1 - y :: 2, x::2, channel] = in_column[1 - y :: 2, x::2]
        image[other[0] :: 2, other[1] :: 2, channel] = opposite[other[0] :: 2, other[1] :: 2]
    return image
