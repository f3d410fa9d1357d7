"""The TIFF encoder: every type of pixel, alpha and metadata, a strip at a time.

Pillow writes no 16-bit colour and no floating-point colour. TIFF 6.0; Deflate with horizontal
differencing (section 14) is read by every current reader.
"""

import struct
import zlib
from typing import BinaryIO

import numpy as np

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio import tiff_read as tag
from drcnet_cli.imageio.ifd import (
    BYTE,
    LONG,
    SHORT,
    UNDEFINED,
    Directory,
    Order,
    descriptive,
    in_order,
    integers,
    opaque,
    rational,
    read_directory,
    read_header,
    write_directory,
)
from drcnet_cli.imageio.picture import Metadata, Picture

_DEFLATE, _LEVEL = 8, 4
_DIFFERENCED, _PLAIN = 2, 1
_STRIP_BYTES = 2**20
_LARGEST = 2**32 - 1  # bytes; classic TIFF has offsets of 32 bits
_NOT_PREMULTIPLIED = 2
_SUBFILE, _PAGE_NUMBER = 254, 297
_PAGE = 2  # one of several
_MOST_NUMBERED = 2**16 - 1


def write_tiff(picture: Picture, file: BinaryIO) -> None:
    """Encode a picture with its metadata into a file that can seek.

    Raises ImageError if the result would pass 4 GiB.
    """
    TiffWriter(file).add(picture)


class TiffWriter:
    """Writes one page after the other into a file that can seek, which is whole after each.

    `total`: how many there will be. Their numbers are written where there are several.
    """

    def __init__(self, file: BinaryIO, total: int = 1) -> None:
        self._file = file
        self._total = total
        self._start = self._link = file.tell()
        self._end = 0  # counted from the start
        self._pages = 0
        self._order: Order | None = None
        self.notes: list[str] = []

    def add(self, picture: Picture, _seconds: object = None) -> None:
        """Write the next page; raises ImageError if the file would pass 4 GiB."""
        described, order = _described(picture.metadata)
        # EXIF fields are copied as bytes, so the file takes the first page's byte order.
        if self._order is None:
            self._order = order
            self._file.write((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
            self._link, self._end = self._start + 4, 8
        described, order = in_order(described, order, self._order), self._order
        rows = max(1, _STRIP_BYTES // (picture.pixels[0].nbytes or 1))
        offsets, sizes, end = [], [], self._end
        for top in range(0, picture.height, rows):
            packed = zlib.compress(_strip(picture, top, top + rows, order), _LEVEL)
            self._file.write(packed)
            offsets.append(end)
            sizes.append(len(packed))
            end += len(packed)
        if end % 2:
            self._file.write(b"\0")
            end += 1
        _add_structure(described, picture, order, rows)
        described.fields[tag.STRIP_OFFSETS] = integers(order, LONG, _fitting(offsets))
        described.fields[tag.STRIP_BYTES] = integers(order, LONG, sizes)
        if self._total > 1:
            described.fields[_SUBFILE] = integers(order, LONG, [_PAGE])
            if self._total <= _MOST_NUMBERED:
                numbers = [self._pages, self._total]
                described.fields[_PAGE_NUMBER] = integers(order, SHORT, numbers)
        _fitting([end + 2**24])
        self._append(write_directory(described, order, end), end, order, described.count)

    def _append(self, directory: bytes, at: int, order: Order, entries: int) -> None:
        """Write a page's directory, and where it lies into the one before it."""
        self._file.write(directory)
        self._file.seek(self._link)
        self._file.write(struct.pack(order + "I", at))
        self._file.seek(0, 2)
        self._link = self._start + at + 2 + 12 * entries
        self._end = at + len(directory)
        if self._pages + 1 < self._total and self._end % 2:
            self._file.write(b"\0")
            self._end += 1
        self._pages += 1

    def close(self) -> None:
        """End; nothing is left to write."""


def _fitting(offsets: list[int]) -> list[int]:
    if offsets[-1] > _LARGEST:
        raise ImageError("would be larger than the 4 GiB of a TIFF file.", "Use --format png")
    return offsets


def _described(metadata: Metadata) -> tuple[Directory, Order]:
    """Return the EXIF and private fields as a directory to add to, and their byte order."""
    described, order = Directory(), None
    if metadata.exif is not None:
        layout, first = read_header(metadata.exif)
        described = descriptive(read_directory(metadata.exif, layout, first))
        order = layout.order
    if metadata.tiff_fields is not None:
        layout, first = read_header(metadata.tiff_fields)
        # Both are of one file, unless somebody put them together: then EXIF says more.
        if order in (None, layout.order):
            described.fields |= read_directory(metadata.tiff_fields, layout, first).fields
            order = layout.order
    return described, order or "<"


def _strip(picture: Picture, top: int, bottom: int, order: Order) -> bytes:
    """Return rows in file order; integers as differences from the left neighbour."""
    band = picture.pixels[top:bottom]
    if picture.alpha is not None:
        band = np.concatenate((band, picture.alpha[top:bottom, :, None]), axis=2)
    if band.dtype == np.float32:
        band = band * np.float32(picture.metadata.float_white)  # as the file had it
    else:
        differences = band.copy()
        differences[:, 1:] -= band[:, :-1]
        band = differences
    return band.astype(band.dtype.newbyteorder(order)).tobytes()


def _add_structure(directory: Directory, picture: Picture, order: Order, rows: int) -> None:
    """Add the fields that say how pixels are stored, the profile and the resolution."""
    metadata, colours = picture.metadata, picture.pixels.shape[2]
    samples = colours + (picture.alpha is not None)
    floating = picture.pixels.dtype == np.float32
    short = {
        tag.BITS: [8 * picture.pixels.itemsize] * samples,
        tag.COMPRESSION: [_DEFLATE],
        tag.PHOTOMETRIC: [tag.RGB if colours == 3 else tag.BLACK_IS_ZERO],
        tag.SAMPLES: [samples],
        tag.PLANAR: [1],
        tag.PREDICTOR: [_PLAIN if floating else _DIFFERENCED],
        tag.SAMPLE_FORMAT: [tag.FLOATING if floating else tag.UNSIGNED] * samples,
    }
    if samples > colours:
        short[tag.EXTRA] = [_NOT_PREMULTIPLIED]
    unit, density = tag.INCH, metadata.dpi
    if metadata.resolution.aspect:
        unit, density = tag.NO_UNIT, metadata.resolution.aspect
    elif density and metadata.resolution.unit == "cm":
        unit, density = tag.CENTIMETRE, (density[0] / 2.54, density[1] / 2.54)
    if density:
        short[tag.DPI_UNIT] = [unit]
        directory.fields[tag.X_DPI] = rational(order, density[0])
        directory.fields[tag.Y_DPI] = rational(order, density[1])
    for name, values in short.items():
        directory.fields[name] = integers(order, SHORT, values)
    sides = {tag.WIDTH: picture.width, tag.HEIGHT: picture.height, tag.ROWS_PER_STRIP: rows}
    for name, value in sides.items():
        directory.fields[name] = integers(order, LONG, [value])
    if metadata.photoshop:
        directory.fields[tag.PHOTOSHOP] = opaque(BYTE, metadata.photoshop)
    if metadata.icc:
        directory.fields[tag.ICC] = opaque(UNDEFINED, metadata.icc)
    if metadata.xmp:
        directory.fields[tag.XMP] = opaque(BYTE, metadata.xmp)
