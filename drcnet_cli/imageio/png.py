"""PNG files chunk by chunk: metadata and 16 bits a channel.

Pillow reads 16-bit colour as 8 bits; OpenCV reads it but keeps no metadata. PNG specification,
third edition: chunks (5.3), passes (8), colour types (11.2.1).
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.cicp import stated
from drcnet_cli.imageio.decode import (
    check_size,
    exif_from_text,
    pillow_image,
    pixels_of,
    stored_orientation,
    upright_metadata,
)
from drcnet_cli.imageio.opencv import decode_deep
from drcnet_cli.imageio.picture import Metadata, Picture, Resolution, peak_value, turn_upright

MAGIC = b"\x89PNG\r\n\x1a\n"
GRAY, GRAY_ALPHA, PALETTE, RGB, RGBA = 0, 4, 3, 2, 6
METRE_PER_INCH = 0.0254
# First row and column, and steps, of the passes (section 8.2).
_PASSES = (
    (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
    (1, 0, 2, 1),
)  # fmt: skip
_PLAIN = ((0, 0, 1, 1),)
_MAX_INFLATED = 8_000_000  # bytes of one compressed profile or text; libpng's own limit
XMP = b"XML:com.adobe.xmp"

# How numbers become colours and what the author wrote: carried from PNG to PNG as they are.
COLOUR_CHUNKS = frozenset({b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"})
_NAMES = {
    b"iCCP": "colour profile",
    b"eXIf": "EXIF block",
    **dict.fromkeys((b"tEXt", b"zTXt", b"iTXt"), "text"),
}
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})

_BAND_BYTES = 2**20


_T = TypeVar("_T")


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool


def read_png(data: bytes) -> Picture:
    """Decode a PNG file.

    Raises ImageError for an animation or an impossible size, ValueError or Pillow's errors for
    damaged data.
    """
    data, ended = _with_end(data)
    damaged: list[str] = []
    chunks = list(_chunks(data, damaged))
    by_type = dict(chunks)
    header = _header(by_type)
    raw = metadata_of(chunks)
    if damaged:
        note = f"its damaged {', '.join(dict.fromkeys(damaged))} left out"
        raw = replace(raw, notes=(*raw.notes, note))
    if not ended:
        _check_rows(data, header)
        raw = replace(raw, notes=(*raw.notes, "its end mark is missing, the picture is all there"))
    orientation = stored_orientation(raw)
    metadata = upright_metadata(raw, orientation)
    data = _pixels_alone(data)
    if header.depth == 16:
        pixels, alpha = _deep_pixels(data, header)
        metadata = replace(metadata, mode="I;16" if pixels.shape[2] == 1 else "RGB;16")
    else:
        image = pillow_image(data, "PNG")
        drawn = image.getbbox()
        if drawn is None or drawn[3] < header.height:  # is the last row black, or not there at all?
            _check_rows(data, header)
        if header.colour == GRAY:
            image.info.pop("transparency", None)
        pixels, alpha, metadata = pixels_of(image, metadata)
    if header.colour == GRAY and (key := by_type.get(b"tRNS")):
        alpha = _alpha_of_key(pixels, struct.unpack(">H", key)[0], header.depth)
    if alpha is not None:
        alpha = turn_upright(alpha, orientation)
    return Picture(turn_upright(pixels, orientation), alpha, metadata)


def _header(chunks: dict[bytes, bytes]) -> _Header:
    """Return what the header says; raises ImageError for an animation or an impossible size."""
    width, height, depth, colour = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    check_size(width, height)
    frames = struct.unpack_from(">I", chunks[b"acTL"])[0] if b"acTL" in chunks else 1
    if frames > 1:
        raise ImageError(
            f"is an animation of {frames} frames, and one picture is expected.",
            "Save its frames as files first.",
        )
    return _Header(width, height, depth, colour, chunks[b"IHDR"][12] == 1)


def _spans(view: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Return type, start and end of every chunk; raises ValueError where the end is missing."""
    at, kind = len(MAGIC), b""
    while kind != b"IEND":
        if at + 12 > len(view):
            raise ValueError("the file ends too early")
        size, kind = struct.unpack_from(">I4s", view, at)
        if at + 12 + size > len(view):
            raise ValueError("the file ends too early")
        yield kind, at, at + 12 + size
        at += 12 + size


def _with_end(data: bytes) -> tuple[bytes, bool]:
    """Return the file with an end mark, and whether it was there; a chunk cut off is left out."""
    view, whole, kind = memoryview(data), len(MAGIC), b""
    while kind != b"IEND" and whole + 12 <= len(view):
        size, kind = struct.unpack_from(">I4s", view, whole)
        if whole + 12 + size > len(view):
            break
        whole += 12 + size
    else:
        if kind == b"IEND":
            return data, True
    return data[:whole] + _END, False


def _chunks(data: bytes, damaged: list[str]) -> Iterator[tuple[bytes, bytes]]:
    """Return the type and contents of every chunk but those of pixels, all checksums verified.

    Names of those that a reader may do without and whose checksum is wrong are added to `damaged`.
    Raises ValueError where a checksum is wrong or the end is missing: pixels would be too.
    """
    view = memoryview(data)
    for kind, start, end in _spans(view):
        (checksum,) = struct.unpack_from(">I", view, end - 4)
        whole = zlib.crc32(view[start + 4 : end - 4]) == checksum
        # A lower-case first letter marks a chunk that a reader may do without.
        if not whole and kind[:1].isupper():
            raise ValueError(f"the checksum of its {kind.decode('latin-1')} chunk is wrong")
        if not whole:
            damaged.append(_NAMES.get(kind, f"{kind.decode('latin-1')} chunk"))
        if whole and kind not in (b"IDAT", b"fdAT"):
            yield kind, bytes(view[start + 8 : end - 4])


def _check_rows(data: bytes, header: _Header) -> None:
    """Refuse pixels that end before the last row: Pillow leaves what is missing black."""
    bits = header.depth * {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}[header.colour]
    left = sum(
        len(range(top, header.height, down)) * (1 + (across * bits + 7) // 8)
        for top, start, down, right in (_PASSES if header.interlaced else _PLAIN)
        if (across := len(range(start, header.width, right)))
    )
    view, unpacker = memoryview(data), zlib.decompressobj()
    for kind, start, end in _spans(view):
        packed = view[start + 8 : end - 4] if kind == b"IDAT" else b""
        while packed and left > 0:
            left -= len(unpacker.decompress(packed, _BAND_BYTES))
            packed = unpacker.unconsumed_tail
    if left > len(unpacker.flush()):
        raise ValueError("the file ends before its pixels do")


def _pixels_alone(data: bytes) -> bytes:
    """Return the file without what only describes the picture: decoders set that limits of theirs.

    Pillow refuses a picture for its profile of more than a megabyte, or damage in a text.
    """
    view = memoryview(data)
    if not any(_describes(kind) for kind, _, _ in _spans(view)):
        return data
    spans = [view[start:end] for kind, start, end in _spans(view) if not _describes(kind)]
    return b"".join((MAGIC, *spans))


def _describes(kind: bytes) -> bool:
    return kind[:1].islower() and kind != b"tRNS"


def metadata_of(chunks: list[tuple[bytes, bytes]]) -> Metadata:
    """Return what chunks, each its type and contents, say of a picture."""
    metadata, kept, exif_text = Metadata(format="PNG"), [], None
    notes: list[str] = []
    for kind, body in chunks:
        keyword = body.partition(b"\0")[0] if kind in _TEXT_CHUNKS else b""
        if kind == b"eXIf":
            metadata = replace(metadata, exif=body)
        elif kind == b"iCCP":
            # Once only, here and below: each may be megabytes of a few bytes.
            if metadata.icc is None:
                packed = body.partition(b"\0")[2][1:]
                icc = _undamaged(notes, "colour profile", _inflate, packed)
                metadata = replace(metadata, icc=icc)
        elif kind == b"pHYs" and len(body) == 9:
            metadata = _with_density(metadata, *struct.unpack(">IIB", body))
        elif kind == b"cICP" and len(body) == 4 and body[2:] == b"\0\1":  # RGB, all values
            metadata = replace(metadata, cicp=stated(body[0], body[1]))
        elif keyword == XMP:
            if metadata.xmp is None:
                xmp = _undamaged(notes, "XMP", _international_text, body)
                metadata = replace(metadata, xmp=xmp)
        elif keyword == b"Raw profile type exif":
            if exif_text is None:
                exif_text = _undamaged(notes, "EXIF text", _plain_text, kind, body)
        elif kind in COLOUR_CHUNKS or kind in _TEXT_CHUNKS:
            kept.append((kind, body))
    exif = metadata.exif or (exif_from_text(exif_text) if exif_text else None)
    return replace(metadata, exif=exif, png_chunks=tuple(kept), notes=tuple(notes))


def _undamaged(
    notes: list[str], what: str, unpack: Callable[..., _T], *arguments: bytes
) -> _T | None:
    """Return what a chunk unpacks to; a damaged one, beside sound pixels, is noted instead."""
    try:
        return unpack(*arguments)
    except (ValueError, zlib.error):
        notes.append(f"its damaged {what} was left out")
        return None


def _with_density(metadata: Metadata, x: int, y: int, unit: int) -> Metadata:
    """Return the metadata with pixels a metre (unit 1), or the pixels' shape (unit 0)."""
    if unit == 1 and x and y:
        return replace(metadata, dpi=(x * METRE_PER_INCH, y * METRE_PER_INCH))
    if unit == 0 and x and y and x != y:
        return replace(metadata, resolution=Resolution(aspect=(x, y)))
    return metadata


def _plain_text(kind: bytes, body: bytes) -> str:
    text = body.partition(b"\0")[2]
    return (_inflate(text[1:]) if kind == b"zTXt" else text).decode("latin-1")


def _international_text(body: bytes) -> bytes:
    """Read an iTXt chunk's text: keyword 0 compressed method language 0 translated 0 text."""
    rest = body.partition(b"\0")[2]
    text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return _inflate(text) if rest[:1] == b"\1" else text


def _inflate(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, _MAX_INFLATED)
    if not unpacker.eof:
        raise ValueError("a compressed text or profile is damaged or too long")
    return unpacked


def _deep_pixels(data: bytes, header: _Header) -> tuple[np.ndarray, np.ndarray | None]:
    pixels, alpha = decode_deep(data)
    if header.colour == GRAY_ALPHA:
        pixels = np.ascontiguousarray(pixels[..., :1])  # OpenCV makes RGB of gray with alpha
    if pixels.dtype != np.uint16 or pixels.shape[:2] != (header.height, header.width):
        raise ValueError("decoded as another kind of picture than its header says")
    return pixels, alpha


def _alpha_of_key(gray: np.ndarray, key: int, depth: int) -> np.ndarray:
    """Return alpha for gray whose one value `key`, of `depth` bits, is transparent."""
    peak = int(peak_value(gray.dtype))
    value = key * peak // (2**depth - 1)
    return np.where(gray[..., 0] == value, 0, peak).astype(gray.dtype)
