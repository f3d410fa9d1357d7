"""JPEG XL through pillow-jxl-plugin's decoder: the depth of the file, JPEGs inside as they were.

The plugin's Pillow image knows neither 16-bit colour nor its limits; the decoder below it does.
"""

import struct
from collections.abc import Iterator

import numpy as np

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.decode import check_size, upright_metadata
from drcnet_cli.imageio.kinds import JXL, reader_module
from drcnet_cli.imageio.picture import Metadata, Picture

_CODESTREAM = b"\xff\x0a"
# Bits of a side's number, by its first two bits, and width to height by a ratio's number
# (ISO 18181-1, C.2 SizeHeader).
_SIDE_BITS = (9, 13, 18, 30)
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


def read_jxl(data: bytes) -> "Picture | bytes":
    """Decode a JPEG XL file; return the bytes of the JPEG that it was made of, if it was.

    Raises ImageError without the plugin, ValueError for damaged data.
    """
    reader = reader_module(JXL)
    check_size(*_declared_size(data))
    is_jpeg, info, body, icc, boxes = reader.Decoder(num_threads=1)(data)
    if is_jpeg:
        return bytes(body)
    # libjxl has turned the pixels upright.
    metadata = upright_metadata(_metadata(info.mode, icc, boxes), 1)
    pixels = _pixels(info, body)
    if info.has_alpha_channel:
        return Picture(pixels[..., :-1], np.ascontiguousarray(pixels[..., -1]), metadata)
    return Picture(pixels, None, metadata)


def _pixels(info, body: bytes) -> np.ndarray:  # noqa: ANN001 - a type of the plugin's
    """Return H x W x C as stored; raises ImageError for numbers that are not read."""
    channels = info.num_channels + info.has_alpha_channel
    samples = info.width * info.height * channels
    size = len(body) // samples if samples and len(body) % samples == 0 else 0
    floating = "F" in info.mode
    dtype = {(1, False): np.uint8, (2, False): np.uint16, (4, True): np.float32}
    if floating and size == 2:
        pixels = np.frombuffer(body, np.float16).astype(np.float32)
    elif (size, floating) in dtype:
        pixels = np.frombuffer(body, dtype[size, floating]).copy()
    else:
        raise ImageError(f"has pixels of a kind that is not read ({info.mode}).", "")
    return pixels.reshape(info.height, info.width, channels)


def _metadata(mode: str, icc: bytes, boxes) -> Metadata:  # noqa: ANN001 - a type of the plugin's
    found = {bytes(box.box_type): bytes(box.data) for box in boxes}
    exif = found.get(b"Exif") or None
    # Four bytes before the block say where it starts (ISO 18181-2, 9.3); some decoders cut them.
    if exif and exif[:2] not in (b"II", b"MM"):
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    return Metadata(
        format="JXL", mode=mode, exif=exif, icc=icc or None, xmp=found.get(b"xml ") or None
    )


def _declared_size(data: bytes) -> tuple[int, int]:
    """Return the width and height that the header declares."""
    start = next(iter(_codestreams(data)), b"")
    if not start.startswith(_CODESTREAM):
        raise ValueError("no codestream")
    bits = int.from_bytes(start[2:18], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take(_SIDE_BITS[take(2)]) + 1

    height = side()
    wide, high = _RATIOS.get(take(3), (0, 1))
    return (height * wide // high if wide else side()), height


def _codestreams(data: bytes) -> Iterator[bytes]:
    """Return the beginning of a file's codestream, bare or in boxes (ISO 18181-2)."""
    if data.startswith(_CODESTREAM):
        yield data[:64]
        return
    at = 0
    while at + 16 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        start = at + head + (4 if kind == b"jxlp" else 0)
        if kind in (b"jxlc", b"jxlp"):
            yield data[start : start + 64]
        if size < head:
            return
        at += size
