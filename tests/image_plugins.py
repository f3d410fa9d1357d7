"""Files for readers that are packages of their own, made by those packages or by hand."""

import struct
from io import BytesIO

import numpy as np

SENSOR = (96, 128)  # rows, columns


def heic(array: np.ndarray, **options) -> bytes:
    """Encode 8- or 16-bit RGB(A) as HEIC, lossless."""
    import pillow_heif

    mode = {3: "RGB", 4: "RGBA"}[array.shape[2]] + (";16" if array.itemsize == 2 else "")
    size = array.shape[1], array.shape[0]
    image = pillow_heif.from_bytes(mode, size, np.ascontiguousarray(array).tobytes())
    buffer = BytesIO()
    image.save(buffer, quality=-1, chroma=444, matrix_coefficients=0, **options)
    return buffer.getvalue()


def jxl(array: np.ndarray, **boxes) -> bytes:
    """Encode gray or RGB(A) as lossless JPEG XL."""
    from pillow_jxl import Encoder

    channels = 1 if array.ndim == 2 else array.shape[2]
    mode = "I;16" if array.itemsize == 2 else {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    encoder = Encoder(mode=mode, lossless=True, quality=100, use_container=bool(boxes))
    boxes = {"exif": None, "jumb": None, "xmp": None, **boxes}
    return encoder(array.tobytes(), array.shape[1], array.shape[0], jpeg_encode=False, **boxes)


def dng(orientation=1) -> bytes:
    """A DNG with a preview first; its sensor sees a gray slope through a reddish-blue light."""
    height, width = SENSOR
    out = bytearray(b"II*\0\0\0\0\0")
    slope = np.broadcast_to(np.linspace(1000, 9000, width), SENSOR).copy()
    slope[0::2, 0::2] /= 2  # red
    slope[1::2, 1::2] /= 2  # blue
    data = slope.astype("<u2").tobytes()
    sensor = {
        **_strip(out, data, width, height, 1, 16),
        254: (4, [0]),
        262: (3, [32803]),
        33421: (3, [2, 2]),
        33422: (1, [0, 1, 1, 2]),
        50717: (4, [16383]),
    }
    preview = np.full((12, 16, 3), 128, np.uint8).tobytes()
    identity = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    first = {
        **_strip(out, preview, 16, 12, 3, 8),
        254: (4, [1]),
        262: (3, [2]),
        271: (2, list(b"Acme\0")),
        274: (3, [orientation]),
        330: (4, [_directory(out, sensor)]),
        34665: (4, [_directory(out, {33434: (5, [1, 125]), 37500: (7, list(b"a maker note"))})]),
        50706: (1, [1, 4, 0, 0]),
        50708: (2, list(b"Acme One\0")),
        50721: (10, identity),
        50728: (5, [1, 2, 1, 1, 1, 2]),
        50778: (3, [21]),
    }
    struct.pack_into("<I", out, 4, _directory(out, first))
    return bytes(out)


def _put(out: bytearray, data: bytes) -> int:
    out += data + bytes(len(data) % 2)
    return len(out) - len(data) - len(data) % 2


def _strip(out: bytearray, data: bytes, width: int, height: int, samples: int, bits: int) -> dict:
    return {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * samples),
        259: (3, [1]),
        273: (4, [_put(out, data)]),
        277: (3, [samples]),
        278: (4, [height]),
        279: (4, [len(data)]),
        284: (3, [1]),
    }


def _directory(out: bytearray, fields: dict) -> int:
    entries = b""
    for number, (kind, values) in sorted(fields.items()):
        code = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 7: "B", 10: "i"}[kind]
        raw = struct.pack(f"<{len(values)}{code}", *values)
        raw = raw if len(raw) <= 4 else struct.pack("<I", _put(out, raw))
        count = len(values) // 2 if kind in (5, 10) else len(values)
        entries += struct.pack("<HHI", number, kind, count) + raw.ljust(4, b"\0")
    return _put(out, struct.pack("<H", len(fields)) + entries + bytes(4))
