"""Picture files of every mode, made by Pillow, OpenCV or by hand; never by the code under test."""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageCms

SIZE = (23, 17)  # width, height: odd, unequal, wider than one byte of 1-bit pixels
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKER_NOTE = bytes(range(200))
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" '
    b'xmp:Rating="4"/></x:xmpmeta>'
)


def random_array(channels: int, dtype=np.uint8, size=SIZE, seed=0) -> np.ndarray:
    """H x W (x C) of the whole range, so that no value could be guessed from the largest."""
    shape = (size[1], size[0]) if channels == 1 else (size[1], size[0], channels)
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random(shape, np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def dark_array(channels: int) -> np.ndarray:
    """16-bit values that all fit 8 bits: still a 16-bit picture."""
    return random_array(channels, np.uint16) & 0xFF


def smooth(size=SIZE) -> np.ndarray:
    """An asymmetric RGB picture that survives lossy formats well."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    return np.stack((8 * x + 20, 10 * y + 30, 5 * (x + y)), axis=2).clip(0, 255).astype(np.uint8)


def save(image, format: str, **options) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def palette(transparency=None, format="PNG") -> bytes:
    image = Image.fromarray(smooth()).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    return save(image, format, **({} if transparency is None else {"transparency": transparency}))


def with_opencv(array: np.ndarray, suffix: str, *parameters: int) -> bytes:
    """Encode RGB(A) or gray with OpenCV, whose order is BGR(A)."""
    if array.ndim == 3:
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    ok, encoded = cv2.imencode(suffix, np.ascontiguousarray(array), list(parameters))
    assert ok
    return encoded.tobytes()


# PNG


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(array: np.ndarray, *extra: bytes, interlaced=False, depth=None, end=b"") -> bytes:
    """Encode 8 or 16 bits (`depth` below 8: gray values of so many bits), unfiltered."""
    channels = 1 if array.ndim == 2 else array.shape[2]
    depth = depth or 8 * array.itemsize
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    height, width = array.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    adam7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
             (1, 0, 2, 1))  # fmt: skip
    passes = adam7 if interlaced else ((0, 0, 1, 1),)
    raw = b"".join(
        b"\0" + _png_row(row, depth)
        for top, left, down, right in passes
        for row in array[top::down, left::right]
        if row.size
    )
    parts = (png_chunk(b"IHDR", head), *extra, png_chunk(b"IDAT", zlib.compress(raw)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + end + png_chunk(b"IEND", b"")


def _png_row(row: np.ndarray, depth: int) -> bytes:
    if depth >= 8:
        return row.astype(row.dtype.newbyteorder(">")).tobytes()
    bits = "".join(f"{value:0{depth}b}" for value in row)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[n : n + 8], 2) for n in range(0, len(bits), 8))


# TIFF


def tiff(
    array: np.ndarray,
    *,
    order="<",
    planar=False,
    deflate=False,
    differenced=False,
    photometric=None,
    extra=None,
    tags=(),
    pages=1,
    subfile=0,
) -> bytes:
    """Encode a TIFF of one strip a plane; `tags`: (number, type, values) more, sorted in."""
    planes = array[..., None] if array.ndim == 2 else array
    height, width, samples = planes.shape
    if photometric is None:
        photometric = 2 if samples >= 3 else 1
    strips = [planes[..., n : n + 1] for n in range(samples)] if planar else [planes]
    form = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    file = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    link = 4
    for page in range(pages):
        places, sizes = [], []
        for strip in strips:
            if differenced:
                strip = np.concatenate((strip[:, :1], strip[:, 1:] - strip[:, :-1]), axis=1)
            packed = strip.astype(strip.dtype.newbyteorder(order)).tobytes()
            packed = zlib.compress(packed) if deflate else packed
            places.append(len(file))
            sizes.append(len(packed))
            file += packed + bytes(len(packed) % 2)
        entries = {
            254: (4, [subfile if page else 0]),
            256: (4, [width]),
            257: (4, [height]),
            258: (3, [8 * array.itemsize] * samples),
            259: (3, [8 if deflate else 1]),
            262: (3, [photometric]),
            273: (4, places),
            277: (3, [samples]),
            278: (4, [height]),
            279: (4, sizes),
            284: (3, [2 if planar else 1]),
            339: (3, [form] * samples),
        }
        if differenced:
            entries[317] = (3, [2])
        if extra is not None:
            entries[338] = (3, [extra])
        entries |= {number: (kind, values) for number, kind, values in tags}
        struct.pack_into(order + "I", file, link, len(file))
        link = _append_directory(file, order, entries)
    return bytes(file)


def _append_directory(file: bytearray, order: str, entries: dict) -> int:
    """Append a directory and its values; give where the link to the next one lies."""
    start, tail = len(file), b""
    after = start + 2 + 12 * len(entries) + 4
    file += struct.pack(order + "H", len(entries))
    for number, (kind, values) in sorted(entries.items()):
        code, each = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 7: "B"}[kind], 1 + (kind == 5)
        raw = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(raw) > 4:
            place, tail = after + len(tail), tail + raw + bytes(len(raw) % 2)
            raw = struct.pack(order + "I", place)
        file += struct.pack(order + "HHI", number, kind, len(values) // each) + raw.ljust(4, b"\0")
    link = len(file)
    file += bytes(4) + tail
    return link


# Metadata


def exif(orientation=1, order="<", thumbnail=True) -> bytes:
    """An EXIF block by hand: maker, orientation, maker note, sides, position, thumbnail."""
    block = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8))
    first = {
        271: (2, b"Maker\0"),
        274: (3, [orientation]),
        34665: (4, [0]),
        34853: (4, [0]),
    }
    link = _append_directory(block, order, {k: _ascii(v) for k, v in first.items()})
    places = {}
    for number, entries in {
        34665: {
            37500: (7, MAKER_NOTE),
            40962: (4, [SIZE[0]]),
            40963: (4, [SIZE[1]]),
        },
        34853: {1: (2, b"N\0")},
    }.items():
        places[number] = len(block)
        _append_directory(block, order, {k: _ascii(v) for k, v in entries.items()})
    for slot, number in enumerate(sorted(first)):
        if number in places:
            struct.pack_into(order + "I", block, 8 + 2 + 12 * slot + 8, places[number])
    if thumbnail:
        jpeg = save(smooth((8, 8)), "JPEG")
        struct.pack_into(order + "I", block, link, len(block))
        at = len(block) + 2 + 2 * 12 + 4
        _append_directory(block, order, {513: (4, [at]), 514: (4, [len(jpeg)])})
        block += jpeg
    return bytes(block)


def _ascii(entry: tuple) -> tuple:
    kind, values = entry
    return kind, list(values)


def cmyk_profile() -> bytes:
    """A CMYK profile by hand: lightness falls with the ink's sum, no colour at all.

    One table from CMYK to Lab (ICC.1:2010, 10.10 lut8Type, two grid points a channel).
    """
    identity = bytes(range(256))
    grid = bytearray()
    for node in range(16):
        ink = bin(node).count("1")
        grid += bytes((255 - 63 * ink, 128, 128))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + identity * 4 + grid + identity * 3
    table += bytes(-len(table) % 4)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    start = 128 + 4 + 2 * 12
    tags = struct.pack(">I", 2)
    tags += struct.pack(">4sII", b"A2B0", start, len(table))
    tags += struct.pack(">4sII", b"wtpt", start + len(table), len(white))
    size = start + len(table) + len(white)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + tags + table + white
