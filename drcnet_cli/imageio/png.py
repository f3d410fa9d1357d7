"""PNG files chunk by chunk: metadata, 16 bits a channel, and the encoder.

Pillow reads 16-bit colour as 8 bits and writes none; OpenCV reads it but keeps no metadata. PNG
specification, third edition: chunks (5.3), filters (9), colour types (11.2.1).
"""

import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.decode import (
    check_size,
    exif_from_text,
    pillow_image,
    pixels_of,
    stored_orientation,
    upright_metadata,
)
from drcnet_cli.imageio.opencv import decode_deep
from drcnet_cli.imageio.picture import Metadata, Picture, peak_value, turn_upright

MAGIC = b"\x89PNG\r\n\x1a\n"
_GRAY, _GRAY_ALPHA, _PALETTE, _RGB, _RGBA = 0, 4, 3, 2, 6
_METRE_PER_INCH = 0.0254
_MAX_INFLATED = 8_000_000  # bytes of one compressed profile or text; libpng's own limit
_XMP = b"XML:com.adobe.xmp"

# How numbers become colours and what the author wrote: carried from PNG to PNG as they are.
COLOUR_CHUNKS = frozenset({b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"})
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})

# On 12-megapixel photographs level 4 takes a third of level 6's time for 5 % more bytes.
_LEVEL = 4
_BAND_BYTES = 2**20
_PAETH = 4


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int


def read_png(data: bytes) -> Picture:
    """Decode a PNG file.

    Raises ImageError for an animation or an impossible size, ValueError or Pillow's errors for
    damaged data.
    """
    chunks = list(_chunks(data))
    width, height, depth, colour = struct.unpack_from(">IIBB", dict(chunks)[b"IHDR"])
    header = _Header(width, height, depth, colour)
    check_size(width, height)
    by_type = dict(chunks)
    frames = struct.unpack_from(">I", by_type[b"acTL"])[0] if b"acTL" in by_type else 1
    if frames > 1:
        raise ImageError(
            f"is an animation of {frames} frames, and one picture is expected.",
            "Save its frames as files first.",
        )
    raw = _metadata(chunks)
    orientation = stored_orientation(raw)
    metadata = upright_metadata(raw, orientation)
    data = _pixels_alone(data, by_type)
    if depth == 16:
        pixels, alpha = _deep_pixels(data, header)
        metadata = replace(metadata, mode="I;16" if pixels.shape[2] == 1 else "RGB;16")
    else:
        image = pillow_image(data, "PNG")
        drawn = image.getbbox()
        if drawn is None or drawn[3] < height:  # is the last row black, or not there at all?
            _check_rows(data, header)
        if colour == _GRAY:
            image.info.pop("transparency", None)
        pixels, alpha, metadata = pixels_of(image, metadata)
    if colour == _GRAY and (key := by_type.get(b"tRNS")):
        alpha = _alpha_of_key(pixels, struct.unpack(">H", key)[0], depth)
    if alpha is not None:
        alpha = turn_upright(alpha, orientation)
    return Picture(turn_upright(pixels, orientation), alpha, metadata)


def _spans(view: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Give type, start and end of every chunk; raises ValueError where the end is missing."""
    at, kind = len(MAGIC), b""
    while kind != b"IEND":
        if at + 12 > len(view):
            raise ValueError("the file ends too early")
        size, kind = struct.unpack_from(">I4s", view, at)
        if at + 12 + size > len(view):
            raise ValueError("the file ends too early")
        yield kind, at, at + 12 + size
        at += 12 + size


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the type and contents of every chunk but those of pixels, all checksums verified.

    Raises ValueError where a checksum is wrong or the end is missing: pixels would be too.
    """
    view = memoryview(data)
    for kind, start, end in _spans(view):
        (checksum,) = struct.unpack_from(">I", view, end - 4)
        whole = zlib.crc32(view[start + 4 : end - 4]) == checksum
        # A lower-case first letter marks a chunk that a reader may do without.
        if not whole and kind[:1].isupper():
            raise ValueError(f"the checksum of its {kind.decode('latin-1')} chunk is wrong")
        if whole and kind not in (b"IDAT", b"fdAT"):
            yield kind, bytes(view[start + 8 : end - 4])


def _check_rows(data: bytes, header: _Header) -> None:
    """Refuse pixels that end before the last row: Pillow leaves what is missing black."""
    bits = header.depth * {_GRAY: 1, _RGB: 3, _PALETTE: 1, _GRAY_ALPHA: 2, _RGBA: 4}[header.colour]
    left = header.height * (1 + (header.width * bits + 7) // 8)
    view, unpacker = memoryview(data), zlib.decompressobj()
    for kind, start, end in _spans(view):
        packed = view[start + 8 : end - 4] if kind == b"IDAT" else b""
        while packed and left > 0:
            left -= len(unpacker.decompress(packed, _BAND_BYTES))
            packed = unpacker.unconsumed_tail
    if left > len(unpacker.flush()):
        raise ValueError("the file ends before its pixels do")


def _pixels_alone(data: bytes, kinds: Collection[bytes]) -> bytes:
    """Give the file without what only describes the picture: decoders set that limits of theirs.

    Pillow refuses a picture for its profile of more than a megabyte.
    """
    if not any(map(_describes, kinds)):
        return data
    view = memoryview(data)
    spans = [view[start:end] for kind, start, end in _spans(view) if not _describes(kind)]
    return b"".join((MAGIC, *spans))


def _describes(kind: bytes) -> bool:
    return kind[:1].islower() and kind != b"tRNS"


def _metadata(chunks: list[tuple[bytes, bytes]]) -> Metadata:
    exif = exif_text = icc = dpi = xmp = None
    kept = []
    for kind, body in chunks:
        if kind == b"eXIf":
            exif = body
        elif kind == b"iCCP":
            # Once only, here and below: each may be megabytes of a few bytes.
            icc = _inflate(body.partition(b"\0")[2][1:]) if icc is None else icc
        elif kind == b"pHYs" and len(body) == 9:
            x, y, unit = struct.unpack(">IIB", body)
            dpi = (x * _METRE_PER_INCH, y * _METRE_PER_INCH) if unit == 1 and x and y else None
        elif kind in _TEXT_CHUNKS:
            keyword = body.partition(b"\0")[0]
            if keyword == _XMP:
                xmp = _international_text(body) if xmp is None else xmp
            elif keyword == b"Raw profile type exif":
                exif_text = _plain_text(kind, body) if exif_text is None else exif_text
            else:
                kept.append((kind, body))
        elif kind in COLOUR_CHUNKS:
            kept.append((kind, body))
    exif = exif or (exif_from_text(exif_text) if exif_text else None)
    return Metadata("PNG", "", exif, icc, dpi, xmp, tuple(kept))


def _plain_text(kind: bytes, body: bytes) -> str:
    text = body.partition(b"\0")[2]
    return (_inflate(text[1:]) if kind == b"zTXt" else text).decode("latin-1")


def _international_text(body: bytes) -> bytes:
    """Give the text of an iTXt chunk: keyword 0 compressed method language 0 translated 0 text."""
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
    if header.colour == _GRAY_ALPHA:
        pixels = np.ascontiguousarray(pixels[..., :1])  # OpenCV makes RGB of gray with alpha
    if pixels.dtype != np.uint16 or pixels.shape[:2] != (header.height, header.width):
        raise ValueError("decoded as another kind of picture than its header says")
    return pixels, alpha


def _alpha_of_key(gray: np.ndarray, key: int, depth: int) -> np.ndarray:
    """Give alpha for gray whose one value `key`, of `depth` bits, is transparent."""
    peak = int(peak_value(gray.dtype))
    value = key * peak // (2**depth - 1)
    return np.where(gray[..., 0] == value, 0, peak).astype(gray.dtype)


def write_png(picture: Picture, file: BinaryIO) -> None:
    """Encode 8 or 16 bits a channel with the picture's metadata, a band of rows at a time."""
    channels, alpha = picture.pixels.shape[2], picture.alpha is not None
    colour = {(1, False): _GRAY, (1, True): _GRAY_ALPHA, (3, False): _RGB, (3, True): _RGBA}
    depth = 8 * picture.pixels.dtype.itemsize
    size = struct.pack(">II", picture.width, picture.height)
    file.write(MAGIC)
    _write_chunk(file, b"IHDR", size + bytes((depth, colour[channels, alpha], 0, 0, 0)))
    for kind, body in _ancillary(picture.metadata):
        _write_chunk(file, kind, body)
    for packed in filter(None, _compressed(picture)):
        _write_chunk(file, b"IDAT", packed)
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, kind: bytes, body: bytes) -> None:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    file.write(b"".join((struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum))))


def _ancillary(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    if metadata.icc:
        yield b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)
    # A profile and sRGB exclude each other; the profile says more.
    yield from (chunk for chunk in metadata.png_chunks if chunk[0] != b"sRGB" or not metadata.icc)
    if metadata.dpi:
        per_metre = [min(round(dpi / _METRE_PER_INCH), 2**31 - 1) for dpi in metadata.dpi]
        yield b"pHYs", struct.pack(">IIB", *per_metre, 1)
    if metadata.exif:
        yield b"eXIf", metadata.exif
    if metadata.xmp:
        yield b"iTXt", _XMP + b"\0\0\0\0\0" + metadata.xmp


def _compressed(picture: Picture) -> Iterator[bytes]:
    """Give the zlib stream of all rows, each filtered by Paeth's predictor."""
    packer = zlib.compressobj(_LEVEL, strategy=zlib.Z_FILTERED)
    step = (picture.pixels.shape[2] + (picture.alpha is not None)) * picture.pixels.itemsize
    rows = max(1, _BAND_BYTES // (picture.width * step))
    above = np.zeros((1, picture.width * step), np.uint8)
    for top in range(0, picture.height, rows):
        band = _stored_rows(picture, top, top + rows)
        before = np.concatenate((above, band[:-1]))
        above = band[-1:]
        yield packer.compress(_filtered(band, before, step).data)
    yield packer.flush()


def _stored_rows(picture: Picture, top: int, bottom: int) -> np.ndarray:
    """Give rows as bytes: channels interleaved, alpha last, the high byte first."""
    band = picture.pixels[top:bottom]
    if picture.alpha is not None:
        band = np.concatenate((band, picture.alpha[top:bottom, :, None]), axis=2)
    big_endian = np.ascontiguousarray(band, band.dtype.newbyteorder(">"))
    return big_endian.view(np.uint8).reshape(len(band), -1)


def _filtered(band: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """Give rows less Paeth's prediction, each behind its filter's number (section 9.4)."""
    left, corner = np.zeros_like(band), np.zeros_like(band)
    left[:, step:], corner[:, step:] = band[:, :-step], above[:, :-step]
    a, b, c = (side.astype(np.int16) for side in (left, above, corner))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    nearest = np.where(to_b <= to_c, above, corner)
    predicted = np.where((to_a <= to_b) & (to_a <= to_c), left, nearest)
    filtered = np.empty((len(band), band.shape[1] + 1), np.uint8)
    filtered[:, 0] = _PAETH
    np.subtract(band, predicted, out=filtered[:, 1:])
    return filtered
