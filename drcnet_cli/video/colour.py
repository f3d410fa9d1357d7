"""Planes of a video's frame to RGB and back, exact to half a step, by the matrices of ITU-T H.273.

Done here because swscale is off by up to two steps, and which range it believes depends on PyAV's
version. What is not changed in RGB comes back as the very same numbers: chroma is enlarged linearly
and made small again by that filter's inverse (the low-pass of the 5/3 wavelet along rows).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Red's and blue's share of luma by `matrix_coefficients` (H.273, table 4).
_LUMA = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, non-constant luminance
}
RGB, UNSPECIFIED, BT709, BT601 = 0, 2, 1, 6
_HD_WIDTH, _HD_HEIGHT = 1280, 576  # players take what is larger for BT.709

Planes = list[np.ndarray]


@dataclass(frozen=True)
class Colour:
    """How numbers mean colours: shares of red and blue in luma, and the numbers' range.

    `full`: black is 0 and white the largest number; else 16 and 235 of 255. `is_rgb`: the planes
    are green, blue and red.
    """

    red: float
    blue: float
    full: bool
    is_rgb: bool = False


def find_colour(matrix: int, full: bool, width: int, height: int) -> Colour | None:
    """Return what a tag (`matrix_coefficients`) means; None for what is not converted here.

    Without a tag the frame's size decides, as in players.
    """
    if matrix == RGB:
        return Colour(*_LUMA[BT709], full=True, is_rgb=True)
    if matrix == UNSPECIFIED:
        matrix = BT709 if width >= _HD_WIDTH or height > _HD_HEIGHT else BT601
    return Colour(*_LUMA[matrix], full=full) if matrix in _LUMA else None


def to_rgb(planes: Sequence[np.ndarray], bits: int, colour: Colour) -> np.ndarray:
    """Turn luma and two planes of chroma, or luma alone, into H x W x 3 float32.

    Black is 0 and white 1; what video holds beyond them stays beyond.
    """
    low, span, middle, chroma_span = _range(bits, colour.full)
    if colour.is_rgb:
        green, blue, red = planes
        return np.stack([red, green, blue], axis=2) / np.float32(span)
    luma = (planes[0] - np.float32(low)) / np.float32(span)
    rgb = np.repeat(luma[..., None], 3, axis=2)
    if len(planes) < 3:
        return rgb
    height, width = luma.shape
    # Enlarged as whole numbers, of which float32 keeps even ones even.
    u, v = (_enlarge(plane - np.float32(middle), height, width) for plane in planes[1:3])
    u, v = u / np.float32(chroma_span), v / np.float32(chroma_span)
    green = 1 - colour.red - colour.blue
    rgb[..., 0] += np.float32(2 * (1 - colour.red)) * v
    rgb[..., 1] -= np.float32(2 * (1 - colour.red) * colour.red / green) * v
    rgb[..., 1] -= np.float32(2 * (1 - colour.blue) * colour.blue / green) * u
    rgb[..., 2] += np.float32(2 * (1 - colour.blue)) * u
    return rgb


def from_rgb(rgb: np.ndarray, bits: int, subsampling: tuple[int, int], colour: Colour) -> Planes:
    """Turn H x W x 3 float32 into luma and two planes of chroma of so many bits.

    `subsampling`: how many columns, and rows, share a sample of chroma: 1 or 2.
    """
    low, span, middle, chroma_span = _range(bits, colour.full)
    shares = np.array([colour.red, 1 - colour.red - colour.blue, colour.blue], np.float32)
    luma = rgb @ shares
    u = (rgb[..., 2] - luma) / np.float32(2 * (1 - colour.blue))
    v = (rgb[..., 0] - luma) / np.float32(2 * (1 - colour.red))
    planes: Planes = [luma * np.float32(span) + np.float32(low)]
    for plane in (u, v):
        if subsampling[1] == 2:
            plane = _halve(plane, 0, (-1 / 4, 3 / 4, 3 / 4, -1 / 4), first=-1)
        if subsampling[0] == 2:
            plane = _halve(plane, 1, (-1 / 8, 1 / 4, 3 / 4, 1 / 4, -1 / 8), first=-2)
        planes.append(plane * np.float32(chroma_span) + np.float32(middle))
    kind, most = (np.uint8, 255) if bits == 8 else (np.uint16, 2**bits - 1)
    return [np.rint(plane).clip(0, most).astype(kind) for plane in planes]


def _range(bits: int, full: bool) -> tuple[int, int, int, int]:
    """Return black, white less black, chroma's middle and its span from least to most."""
    step, most = 2 ** (bits - 8), 2**bits - 1
    if full:
        return 0, most, 128 * step, most
    return 16 * step, 219 * step, 128 * step, 224 * step


def _enlarge(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarge chroma to a size, where H.264 has it: on even columns, and between two rows."""
    if plane.shape[0] < height:
        plane = _double(plane, 0, (3 / 4, 1 / 4), (3 / 4, 1 / 4))[:height]
    if plane.shape[1] < width:
        plane = _double(plane, 1, (1.0, 0.0), (1 / 2, 1 / 2))[:, :width]
    return plane


def _double(
    plane: np.ndarray, axis: int, even: tuple[float, float], odd: tuple[float, float]
) -> np.ndarray:
    """Double a side: even samples of each and the one before it, odd ones of it and the next."""
    lines = np.moveaxis(plane, axis, 0)
    before, after = np.concatenate([lines[:1], lines[:-1]]), np.concatenate([lines[1:], lines[-1:]])
    doubled = np.empty((2 * len(lines), *lines.shape[1:]), np.float32)
    doubled[::2] = np.float32(even[0]) * lines + np.float32(even[1]) * before
    doubled[1::2] = np.float32(odd[0]) * lines + np.float32(odd[1]) * after
    return np.moveaxis(doubled, 0, axis)


def _halve(plane: np.ndarray, axis: int, taps: Sequence[float], first: int) -> np.ndarray:
    """Halve a side by a filter, whose first tap lies `first` from each even sample."""
    lines = np.moveaxis(plane, axis, 0)
    count = (len(lines) + 1) // 2
    padded = np.concatenate([lines[:1]] * -first + [lines] + [lines[-1:]] * (len(taps) + 1))
    parts = (np.float32(tap) * padded[at : at + 2 * count : 2] for at, tap in enumerate(taps))
    return np.moveaxis(sum(parts), 0, axis)  # type: ignore[arg-type]
