"""What a picture is between its two files, and how its pixels become the network's."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

# Integers map to [0, 1] by their type's largest value, whatever the largest in the picture is.
_PEAKS = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.float32): 1.0}


@dataclass(frozen=True)
class Resolution:
    """How a file states its resolution: the unit, or only the pixels' shape.

    `aspect`: horizontal and vertical density of pixels that are not square, without a unit.
    """

    unit: Literal["inch", "cm"] = "inch"
    aspect: tuple[int, int] | None = None


@dataclass(frozen=True)
class Behind:
    """What lies behind the picture in a JPEG file: a gain map, a video.

    `data`: all of it. `names`: what it is. `segments`: contents of APP2 segments that describe it.
    `directory`: a multi-picture directory, its offsets counted from the beginning of `data`.
    """

    data: bytes
    names: tuple[str, ...]
    segments: tuple[bytes, ...] = ()
    directory: bytes | None = None


@dataclass(frozen=True)
class Metadata:
    """Everything about a picture but its pixels.

    `format`: the format read ("JPEG"), None for a picture from memory. `mode`: its pixels as they
    were stored, in Pillow's terms. `exif`: a TIFF-structured block without the "Exif" prefix,
    orientation 1, no thumbnail. `dpi`: horizontal, vertical; `resolution`: how it is stated. `xmp`:
    the packet; `xmp_extension`: the parts of its extension, as JPEG has them. `comment`: bytes of
    no stated encoding. `photoshop`: image resources, captions (IPTC) among them. `behind`: what
    lies behind a JPEG's picture. `cicp`: primaries and transfer (H.273) that are not sRGB's.
    `tiff_fields`: a block like `exif` of what only a TIFF holds. `png_chunks`: type and contents of
    PNG chunks which only a PNG can hold. `float_white`: the file's value of white, if its pixels
    are floating-point. `notes`: what reading had to give up.
    """

    format: str | None = None
    mode: str = ""
    exif: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    resolution: Resolution = Resolution()
    xmp: bytes | None = None
    xmp_extension: tuple[bytes, ...] = ()
    comment: bytes | None = None
    photoshop: bytes | None = None
    behind: Behind | None = None
    cicp: tuple[int, int] | None = None
    tiff_fields: bytes | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    float_white: float = 1.0
    notes: tuple[str, ...] = ()


@dataclass
class Picture:
    """A picture, upright.

    `pixels`: H x W x 1 (gray) or 3 (RGB), uint8, uint16 or float32 (in [0, 1] where the file keeps
    to it), contiguous. `alpha`: H x W of the same type, not premultiplied, or None.

    Raises ValueError for arrays of any other kind.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        """Refuse what no reader gives and no writer takes."""
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape or dtype not in _PEAKS:
            raise ValueError(f"A picture cannot have pixels of shape {shape} and type {dtype}.")
        if self.alpha is not None and (self.alpha.shape, self.alpha.dtype) != (shape[:2], dtype):
            raise ValueError(f"Alpha is {self.alpha.shape} {self.alpha.dtype}, pixels {shape}.")
        self.pixels = np.ascontiguousarray(self.pixels)

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[1]

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.height * self.width / 1e6


def peak_value(dtype: np.dtype) -> float:
    """Return the value that means white."""
    return _PEAKS[dtype]


def to_planes(pixels: np.ndarray) -> np.ndarray:
    """Turn H x W x 1 or 3 into float32 3 x H x W in [0, 1]; gray is repeated.

    Exact for integers: `from_unit` gives back the same values. Floats pass as they are: readers
    clip them to [0, 1], and a benchmark's unclipped noise must reach the network.
    """
    planes = np.moveaxis(pixels, -1, 0)
    unit = np.empty((3, *pixels.shape[:2]), np.float32)
    if pixels.dtype == np.float32:
        unit[...] = planes
        return unit
    return np.divide(planes, _PEAKS[pixels.dtype], out=unit, dtype=np.float32)


def from_unit(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Turn float32 3 x H x W into H x W x C with the channels and the type of `like`.

    Values are clipped to [0, 1] and rounded to the nearest integer, half to even. Gray is the mean
    of the three channels.
    """
    if like.shape[-1] == 1:
        # As an offset from the first channel the mean of three equal values is exact.
        red, green, blue = image
        image = (red + ((green - red) + (blue - red)) / np.float32(3))[None]
    clipped = np.clip(image, 0, 1)
    if like.dtype != np.float32:
        clipped *= np.float32(_PEAKS[like.dtype])
        np.rint(clipped, out=clipped)
    return np.ascontiguousarray(np.moveaxis(clipped, 0, -1), dtype=like.dtype)


def is_gray(pixels: np.ndarray) -> bool:
    """Tell whether the channels of H x W x C are the same everywhere."""
    # A row at a time: a coloured picture is known by its first rows.
    return all(bool((row == row[:, :1]).all()) for row in pixels)


def rescale(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Turn pixels or alpha of one type into another, rounded to the nearest value."""
    if pixels.dtype == dtype:
        return pixels
    scaled = np.clip(pixels.astype(np.float32) / np.float32(_PEAKS[pixels.dtype]), 0, 1)
    if dtype != np.float32:
        scaled *= np.float32(_PEAKS[dtype])
        np.rint(scaled, out=scaled)
    return scaled.astype(dtype)


def turn_upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation to H x W (x C); 1 and values outside 1..8 change nothing.

    EXIF 2.32, tag 0x0112: the number says where row 0 and column 0 of the stored picture belong.
    """
    if not 2 <= orientation <= 8:
        return array
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)
