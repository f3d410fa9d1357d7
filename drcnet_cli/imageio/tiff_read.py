"""TIFF files: header and metadata read here, pixels by Pillow (8 bits) or OpenCV (deeper).

Layouts that OpenCV reads wrongly without a word (a plane for each channel, gray with alpha) are
handed to it as one or more plain gray TIFFs made of the same compressed strips.
"""

import math
import struct
from dataclasses import dataclass, replace

import numpy as np

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.decode import (
    DECODING_ERRORS,
    check_size,
    pillow_image,
    pixels_of,
    upright_metadata,
)
from drcnet_cli.imageio.ifd import (
    GEOREFERENCE,
    LONG,
    ORIENTATION,
    SHORT,
    Directory,
    Layout,
    exif_from_directory,
    integers,
    private_block,
    read_directory,
    read_header,
    write_directory,
)
from drcnet_cli.imageio.libtiff import silence_libtiff
from drcnet_cli.imageio.opencv import decode_deep
from drcnet_cli.imageio.photoshop import carried
from drcnet_cli.imageio.picture import Metadata, Picture, Resolution, turn_upright
from drcnet_cli.imageio.raw import read_raw
from drcnet_cli.imageio.tiff_pages import choose_page, first_page_at, is_raw_tiff

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 273, 277, 278, 279
X_DPI, Y_DPI, PLANAR, DPI_UNIT, PREDICTOR = 282, 283, 284, 296, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
EXTRA, SAMPLE_FORMAT, XMP, ICC, PHOTOSHOP, LAYERS = 338, 339, 700, 34675, 34377, 37724

UNSIGNED, FLOATING = 1, 3
_FORMS = {UNSIGNED: "unsigned", 2: "signed", FLOATING: "floating-point"}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
_PREMULTIPLIED = 1
NO_UNIT, INCH, CENTIMETRE = 1, 2, 3
# What every libtiff decodes, so that a failure is the file's; and names of what some do not.
_COMMON = {1, 2, 3, 4, 5, 7, 8, 32773, 32946}
_COMPRESSIONS = {
    6: "old-style JPEG", 9: "JBIG", 10: "JBIG", 32809: "ThunderScan", 34661: "JBIG",
    33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34676: "SGI LogLuv",
    34677: "SGI LogLuv", 34887: "LERC", 34892: "lossy JPEG", 34925: "LZMA", 34926: "Zstandard",
    50000: "Zstandard", 34927: "WebP", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip


@dataclass(frozen=True)
class _Page:
    """The first page's directory with the fields that decide how its pixels are read."""

    layout: Layout
    directory: Directory

    def all(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        found = self.directory.fields.get(tag)
        return found.numbers(self.layout) if found else default

    def one(self, tag: int, default: int = 0) -> int:
        return self.all(tag, (default,))[0]

    @property
    def samples(self) -> int:
        return self.one(SAMPLES, 1)

    @property
    def kind(self) -> tuple[int, int]:
        """Bits and sample format of every channel; raises ImageError where they differ."""
        kinds = {*self.all(BITS, (1,))}, {*self.all(SAMPLE_FORMAT, (UNSIGNED,))}
        if len(kinds[0]) > 1 or len(kinds[1]) > 1:
            raise ImageError("has channels of different depths.", _PLAIN)
        return kinds[0].pop(), kinds[1].pop()


_PLAIN = "Save it as an 8-bit or 16-bit RGB or gray TIFF first."


def read_tiff(data: bytes) -> Picture:
    """Decode a TIFF file; raises ImageError for what is not one photograph."""
    layout, first = read_header(data)
    if is_raw_tiff(data, layout, first):
        return read_raw(data)
    at, notes = choose_page(data, layout, first)
    if at != first or notes:
        data = first_page_at(data, layout, at)
    page = _Page(layout, read_directory(data, layout, at))
    check_size(page.one(WIDTH), page.one(HEIGHT))
    _check_strips(data, page)
    orientation = page.one(ORIENTATION, 1)
    metadata = upright_metadata(_metadata(page), orientation)
    metadata = replace(metadata, notes=(*metadata.notes, *notes))
    try:
        return _decode_page(data, page, metadata, orientation)
    except DECODING_ERRORS as error:
        compression = page.one(COMPRESSION, 1)
        if compression in _COMMON:
            raise
        name = _COMPRESSIONS.get(compression, f"a method that is unknown here ({compression})")
        raise ImageError(
            f"is compressed with {name}, which is not read.",
            "Save it with LZW or Deflate compression first",
        ) from error


def _decode_page(data: bytes, page: _Page, metadata: Metadata, orientation: int) -> Picture:
    if max(page.all(BITS, (1,))) <= 8:
        # Pillow turns a TIFF upright as it loads it.
        silence_libtiff()
        image = pillow_image(data, "TIFF")
        extra = page.samples - len(image.getbands()) if page.all(EXTRA) else 0
        pixels, alpha, metadata = pixels_of(image, metadata)
        if extra > 0:
            metadata = _noting(metadata, f"{extra} channel(s) of no stated meaning left out")
        return Picture(pixels, alpha, metadata)
    pixels, alpha = _deep_pixels(data, page)
    if alpha is not None:
        alpha = turn_upright(alpha, orientation)
    return Picture(turn_upright(pixels, orientation), alpha, metadata)


def _check_strips(data: bytes, page: _Page) -> None:
    """Refuse a file that ends before its pixels do; decoders would fill the rest with gray."""
    if len(_pieces(page)[0]) < _wanted_pieces(page):
        raise ValueError("it has too few strips or tiles for its size")
    for place, size in zip(*_pieces(page), strict=False):
        if place + size > len(data):
            raise ValueError("the file ends before its pixels do")


def _wanted_pieces(page: _Page) -> int:
    """Count how many strips or tiles cover the picture, in every plane that it has."""
    planes = page.samples if page.one(PLANAR, 1) == 2 else 1
    if page.all(TILE_OFFSETS):
        wide, high = page.one(TILE_WIDTH), page.one(TILE_HEIGHT)
    else:
        wide, high = page.one(WIDTH), page.one(ROWS_PER_STRIP)
    # A side of nothing, as of a missing field, is all of it.
    return -(-page.one(WIDTH) // (wide or 2**32)) * -(-page.one(HEIGHT) // (high or 2**32)) * planes


def _pieces(page: _Page) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tell where the strips or tiles lie and how many bytes each has."""
    if found := page.all(TILE_OFFSETS):
        return found, page.all(TILE_BYTES)
    return page.all(STRIP_OFFSETS), page.all(STRIP_BYTES)


def _metadata(page: _Page) -> Metadata:
    fields = page.directory.fields
    icc, xmp = fields.get(ICC), fields.get(XMP)
    bits = page.all(BITS, (1,))[0]
    shop, turned = fields.get(PHOTOSHOP), 2 <= page.one(ORIENTATION, 1) <= 8
    private = private_block(page.directory, page.layout.order, turned)
    notes = []
    if turned and private_block(page.directory, page.layout.order, False) != private:
        notes.append(f"{GEOREFERENCE} left out, as the picture was turned upright")
    if LAYERS in fields:
        notes.append("Photoshop's layers left out")
    return Metadata(
        format="TIFF",
        mode=f"{page.samples} x {bits}-bit",
        exif=exif_from_directory(page.directory, page.layout.order),
        icc=icc.raw if icc else None,
        dpi=_dpi(page),
        resolution=_resolution(page),
        photoshop=carried(shop.raw, turned) if shop else None,
        tiff_fields=private,
        notes=tuple(notes),
        xmp=xmp.raw if xmp else None,
    )


def _dpi(page: _Page) -> tuple[float, float] | None:
    factor = {INCH: 1.0, CENTIMETRE: 2.54}.get(page.one(DPI_UNIT, INCH))
    ratios = [page.all(tag) for tag in (X_DPI, Y_DPI)]
    if factor is None or any(len(ratio) != 2 or 0 in ratio for ratio in ratios):
        return None
    (x, x_over), (y, y_over) = ratios
    return x / x_over * factor, y / y_over * factor


def _resolution(page: _Page) -> Resolution:
    """Return the unit that the file states, and the pixels' shape where it states no size."""
    unit, ratios = page.one(DPI_UNIT, INCH), [page.all(tag) for tag in (X_DPI, Y_DPI)]
    if unit == NO_UNIT and all(len(ratio) == 2 and 0 not in ratio for ratio in ratios):
        (x, x_over), (y, y_over) = ratios
        common = math.gcd(x * y_over, y * x_over)
        aspect = x * y_over // common, y * x_over // common
        return Resolution(aspect=aspect if aspect != (1, 1) and max(aspect) < 2**16 else None)
    return Resolution(unit="cm" if unit == CENTIMETRE else "inch")


def _noting(metadata: Metadata, note: str) -> Metadata:
    return replace(metadata, notes=(*metadata.notes, note))


def _deep_pixels(data: bytes, page: _Page) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels and alpha of 16-bit integers or 32-bit floats, as stored."""
    dtype = {(16, UNSIGNED): np.uint16, (32, FLOATING): np.float32}.get(page.kind)
    photometric = page.one(PHOTOMETRIC, BLACK_IS_ZERO)
    if dtype is None:
        bits, form = page.kind
        raise ImageError(
            f"has {bits}-bit {_FORMS.get(form, 'unusual')} numbers, which are not read.", _PLAIN
        )
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise ImageError("has deep pixels that are neither RGB nor gray.", _PLAIN)
    colours = 3 if photometric == RGB else 1
    if page.samples - colours not in (0, 1):
        raise ImageError(f"has {page.samples} channels a pixel.", _PLAIN)
    if page.samples > colours and page.one(EXTRA) == _PREMULTIPLIED:
        raise ImageError("has deep pixels premultiplied with alpha, which is not read.", _PLAIN)
    pixels, alpha = _decode(data, page, colours)
    if pixels.dtype != dtype or pixels.shape != (page.one(HEIGHT), page.one(WIDTH), colours):
        raise ValueError("decoded as another kind of picture than its header says")
    if photometric == WHITE_IS_ZERO:
        pixels = (65535 if dtype == np.uint16 else np.float32(1)) - pixels
    return pixels, alpha


def _decode(data: bytes, page: _Page, colours: int) -> tuple[np.ndarray, np.ndarray | None]:
    if page.samples > 1 and page.one(PLANAR, 1) == 2:
        planes = [decode_deep(_plane_file(data, page, n))[0] for n in range(page.samples)]
        pixels = np.concatenate(planes[:colours], axis=2)
        return pixels, planes[colours][..., 0] if page.samples > colours else None
    if page.samples == 2:
        return _decode_gray_alpha(data, page)
    if page.one(ORIENTATION, 1) != 1:
        return decode_deep(_without_orientation(data, page))
    return decode_deep(data)


def _without_orientation(data: bytes, page: _Page) -> bytearray:
    """Return the file with orientation 1: how OpenCV turns TIFFs differs between its versions."""
    changed = bytearray(data)
    found = page.directory.fields[ORIENTATION]
    changed[found.at : found.at + len(found.raw)] = integers(page.layout.order, found.kind, [1]).raw
    return changed


def _decode_gray_alpha(data: bytes, page: _Page) -> tuple[np.ndarray, np.ndarray]:
    """Decode gray and alpha taking turns, as gray of twice the width."""
    differenced = page.one(PREDICTOR, 1)
    if page.all(TILE_OFFSETS) or differenced > 2:
        raise ImageError("has gray and alpha in a layout that is not read.", _PLAIN)
    pairs = decode_deep(_plane_file(data, page, 0, interleaved=2))[0]
    pairs = pairs.reshape(len(pairs), -1, 2)
    if differenced == 2:
        # Each value is stored less its left neighbour of the same channel, modulo 2^16.
        pairs = np.cumsum(pairs, axis=1, dtype=pairs.dtype)
    return np.ascontiguousarray(pairs[..., :1]), np.ascontiguousarray(pairs[..., 1])


def _plane_file(data: bytes, page: _Page, plane: int, interleaved: int = 1) -> bytes:
    """Return one plane's strips or tiles as a gray TIFF of its own, `interleaved` times as wide."""
    order = page.layout.order
    places, sizes = _pieces(page)
    each = len(places) // (page.samples if interleaved == 1 else 1)
    wanted = slice(plane * each, (plane + 1) * each)
    pieces = [data[at : at + size] for at, size in zip(places[wanted], sizes[wanted], strict=True)]
    starts = np.cumsum([8, *map(len, pieces)]).tolist()
    tiled = bool(page.all(TILE_OFFSETS))
    numbers = {
        WIDTH: [page.one(WIDTH) * interleaved],
        HEIGHT: [page.one(HEIGHT)],
        BITS: [page.kind[0]],
        COMPRESSION: [page.one(COMPRESSION, 1)],
        PHOTOMETRIC: [BLACK_IS_ZERO],
        TILE_OFFSETS if tiled else STRIP_OFFSETS: starts[:-1],
        SAMPLES: [1],
        TILE_BYTES if tiled else STRIP_BYTES: [len(piece) for piece in pieces],
        SAMPLE_FORMAT: [page.kind[1]],
    }
    if interleaved == 1 and page.all(PREDICTOR):
        numbers[PREDICTOR] = [page.one(PREDICTOR)]
    same = (TILE_WIDTH, TILE_HEIGHT) if tiled else (ROWS_PER_STRIP,)
    numbers |= {tag: [page.one(tag, page.one(HEIGHT))] for tag in same}
    short = {BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PREDICTOR, SAMPLE_FORMAT}
    fields = {
        tag: integers(order, SHORT if tag in short else LONG, values)
        for tag, values in numbers.items()
    }
    end = starts[-1] + starts[-1] % 2
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", end)
    body = b"".join((head, *pieces)).ljust(end, b"\0")
    return body + write_directory(Directory(fields), order, end)
