"""Files that are extreme rather than damaged: sizes, emptiness, and bombs of every kind.

Each is named by the suffix that it gets, and is made only when its turn comes.
"""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image, features

from tests.campaign.image_corpus import cases, make

_LONG, _SIDE = 30_000, 60_000
_SUFFIXES = ("png", "jpg", "tif", "webp", "bmp", "ppm", "tga", "jp2", "gif", "avif")
_FORMATS = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}


def _thin(suffix: str, width: int, height: int, dtype: type = np.uint8) -> bytes:
    array = make.random_array(3, dtype, (width, height))
    if suffix == "tif" and dtype != np.uint8:
        return make.tiff(array)
    if suffix == "png" and dtype != np.uint8:
        return make.png(array)
    return make.save(array, _FORMATS.get(suffix, suffix.upper()))


def _png_of(side: int, depth: int, colour: int, rows: int) -> bytes:
    """A PNG that declares side x side pixels and holds `rows` rows of black."""
    packer, held = zlib.compressobj(1), []
    samples = {0: 1, 2: 3, 6: 4}[colour]
    row = bytes(1 + (side * samples * depth + 7) // 8)
    for _ in range(rows):
        held.append(packer.compress(row))
    body = b"".join(held) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        make.png_chunk(*chunk) for chunk in ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    )


def _png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    return make.png(cases.RGB8, *(make.png_chunk(*chunk) for chunk in chunks))


def _tiff_of_overlapping_fields() -> bytes:
    """4000 fields that all have the same megabyte as their value: 4 GB if it is copied."""
    size, count = 2**20, 4000
    entries = [struct.pack("<HHII", 30_000 + n, 1, size, 8) for n in range(count)]
    file = b"II*\0" + struct.pack("<I", 8 + size) + bytes(size)
    return file + struct.pack("<H", count) + b"".join(entries) + bytes(4)


def _tiff_of_overlapping_pages() -> bytes:
    """900 directories of 4000 fields each, all in the same few bytes."""
    file = bytearray(make.tiff(cases.RGB8, subfile=1))
    start = len(file) + len(file) % 2
    file = file.ljust(start + 900 * 16 + 4096 * 12 + 64, b"\1")
    (first,) = struct.unpack_from("<I", file, 4)
    (count,) = struct.unpack_from("<H", file, first)
    struct.pack_into("<I", file, first + 2 + 12 * count, start)
    for page in range(900):
        at = start + 16 * page
        struct.pack_into("<H", file, at, 4090)
    return bytes(file)


def _jpeg_of(width: int, height: int, progressive: bool = False) -> bytes:
    data = bytearray(make.save(make.smooth(), "JPEG", progressive=progressive))
    frame = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    struct.pack_into(">HH", data, frame + 5, height, width)
    return bytes(data)


def _patched(suffix: str, at: int, layout: str, *values: int) -> bytes:
    data = bytearray(_thin(suffix, 23, 17))
    struct.pack_into(layout, data, at, *values)
    return bytes(data)


def _jp2_of(width: int, height: int, tile: int) -> bytes:
    data = bytearray(make.save(make.smooth(), "JPEG2000", no_jp2=True))
    at = data.index(b"\xff\x51") + 6  # after marker, length and capabilities
    struct.pack_into(">IIIIIIII", data, at, width, height, 0, 0, tile, tile, 0, 0)
    return bytes(data)


def _gif_of_frames(count: int) -> bytes:
    frames = [Image.new("L", (4, 4), n % 256) for n in range(8)]
    data = make.save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    image = data.index(b"\x2c")
    frame = data[image : data.index(b"\x21", image)]
    return data[:image] + frame * count + b";"


def _two_in_one() -> bytes:
    buffer = BytesIO(cases.EXACT["png rgb"][0])
    return buffer.getvalue() + make.save(make.smooth(), "JPEG")


def _extremes() -> dict[str, Callable[[], bytes]]:
    found: dict[str, Callable[[], bytes]] = {}
    for suffix in _SUFFIXES:
        if suffix == "avif" and not features.check("avif"):
            continue
        longest = {"webp": 16_383}.get(suffix, _LONG)
        for width, height in ((1, 1), (1, longest), (longest, 1), (2, 3), (255, 257)):
            found[f"{suffix} {width}x{height}"] = lambda s=suffix, w=width, h=height: _thin(s, w, h)
        found[f"{suffix} of no bytes"] = bytes
        found[f"{suffix} of one byte"] = lambda: b"\x89"
        found[f"{suffix} of zeros"] = lambda: bytes(10_000)
    for dtype in (np.uint16, np.float32):
        for width, height in ((1, 1), (1, _LONG), (_LONG, 1)):
            name = f"tif {np.dtype(dtype).name} {width}x{height}"
            found[name] = lambda d=dtype, w=width, h=height: _thin("tif", w, h, d)
    found["png 16 bits 30000x1"] = lambda: _thin("png", _LONG, 1, np.uint16)
    return found | _BOMBS


_BOMBS: dict[str, Callable[[], bytes]] = {
    "png declares 60000 a side": lambda: _png_of(_SIDE, 8, 2, 1),
    "png declares 30000 a side, rows missing": lambda: _png_of(30_000, 8, 2, 5),
    "png declares 30000 a side, 16 bits, rows missing": lambda: _png_of(30_000, 16, 2, 5),
    "png of 30000 a side": lambda: _png_of(30_000, 8, 6, 30_000),
    "png of 24000 a side, 16 bits": lambda: _png_of(24_000, 16, 2, 24_000),
    "png profile bomb": lambda: _png_with((b"iCCP", b"x\0\0" + zlib.compress(bytes(2**28)))),
    "png profile of 60 MB": lambda: _png_with((b"iCCP", b"x\0\0" + zlib.compress(bytes(60 << 20)))),
    "png text bomb": lambda: _png_with(
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(2**28)))
    ),
    "png twenty texts of 60 MB": lambda: _png_with(
        *[(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(60 << 20)))] * 20
    ),
    "png of 50000 chunks": lambda: _png_with(*[(b"tEXt", b"a\0b")] * 50_000),
    "png exif of nothing": lambda: _png_with((b"eXIf", b"")),
    "png and jpeg": _two_in_one,
    "tif of overlapping fields": _tiff_of_overlapping_fields,
    "tif of overlapping pages": _tiff_of_overlapping_pages,
    "tif declares 60000 a side": lambda: make.tiff(
        cases.RGB8, tags=[(256, 4, [_SIDE]), (257, 4, [_SIDE])]
    ),
    "tif declares 30000 a side": lambda: make.tiff(
        cases.RGB8, tags=[(256, 4, [_LONG]), (257, 4, [_LONG])]
    ),
    "tif 16 declares 30000 a side": lambda: make.tiff(
        cases.RGB16, tags=[(256, 4, [_LONG]), (257, 4, [_LONG])]
    ),
    "tif 16 of a short strip": lambda: make.tiff(cases.RGB16, tags=[(279, 4, [100])]),
    "tif 16 of a short packed strip": lambda: make.tiff(
        cases.RGB16, deflate=True, tags=[(257, 4, [90]), (278, 4, [90])]
    ),
    "tif float of many rows": lambda: make.tiff(
        cases.GRAYF, deflate=True, tags=[(257, 4, [90]), (278, 4, [90])]
    ),
    "tif of fewer strips than rows": lambda: make.tiff(
        cases.RGB8, tags=[(257, 4, [400]), (278, 4, [17])]
    ),
    "tif of no strips": lambda: make.tiff(cases.RGB16, tags=[(273, 4, []), (279, 4, [])]),
    "jpg declares 65500 a side": lambda: _jpeg_of(65_500, 65_500),
    "jpg declares 32000 a side": lambda: _jpeg_of(32_000, 32_000),
    "jpg declares 32000 a side, progressive": lambda: _jpeg_of(32_000, 32_000, True),
    "jpg declares no side": lambda: _jpeg_of(0, 17),
    "gif declares 65535 a side": lambda: _patched("gif", 6, "<HH", 65_535, 65_535),
    "gif declares 30000 a side": lambda: _patched("gif", 6, "<HH", _LONG, _LONG),
    "gif of 2000 frames": lambda: _gif_of_frames(2000),
    "bmp declares 60000 a side": lambda: _patched("bmp", 18, "<ii", _SIDE, _SIDE),
    "bmp of negative width": lambda: _patched("bmp", 18, "<ii", -23, 17),
    "bmp of the most negative height": lambda: _patched("bmp", 18, "<ii", 23, -(2**31)),
    "tga declares 65535 a side": lambda: _patched("tga", 12, "<HH", 65_535, 65_535),
    "tga declares 30000 a side": lambda: _patched("tga", 12, "<HH", _LONG, _LONG),
    "jp2 declares 60000 a side": lambda: _jp2_of(_SIDE, _SIDE, _SIDE),
    "jp2 of 30000 a side in tiles of one pixel": lambda: _jp2_of(_LONG, _LONG, 1),
    "jp2 of the largest side": lambda: _jp2_of(2**32 - 1, 1, 2**32 - 1),
    "ppm declares a long number": lambda: b"P6\n" + b"9" * 4000 + b" 1\n255\n" + bytes(100),
    "ppm 16 declares 30000 a side": lambda: b"P6\n30000 30000\n65535\n" + bytes(1000),
    "ppm of a huge comment": lambda: b"P6\n#" + b"x" * 10**6 + b"\n1 1\n255\n123",
}  # fmt: skip
EXTREMES = _extremes()
