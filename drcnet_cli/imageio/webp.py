"""Animated WebP chunk by chunk (RFC 9649): read and written a frame at a time.

Pillow de- and encodes the frames; given an animation it would keep all of it in memory.
"""

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from io import BytesIO
from typing import BinaryIO

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.animation import (
    Animation,
    Region,
    Ticks,
    changed_box,
    cropped,
    fraction,
    no_frame,
)
from drcnet_cli.imageio.decode import (
    pillow_image,
    pixels_of,
    stored_orientation,
    upright_metadata,
)
from drcnet_cli.imageio.lazy import MOST_PICTURES, TOO_MANY, FileBytes
from drcnet_cli.imageio.picture import Metadata, Picture

_ANIMATED, _XMP, _EXIF, _ALPHA, _ICC = 2, 4, 8, 16, 32
_NO_BLENDING, _CLEARED = 2, 1
_HEADER = 16  # bytes of a frame before its picture
_LONGEST = 2**24 - 1  # milliseconds
_LARGEST = 2**32 - 10  # bytes


def is_webp(head: bytes) -> bool:
    """Tell whether a file's first 12 bytes are a WebP's."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def read_animation(data: FileBytes) -> Animation | None:
    """Read what a WebP file says of its frames; None for fewer than two.

    Raises struct.error where it ends in its header, ImageError without one whole frame.
    """
    kind, _, flags = data.unpack("<4sIB", 12)
    if kind != b"VP8X" or not flags & _ANIMATED:
        return None
    regions: list[Region] = []
    plays, damage = 1, ""
    kept: dict[bytes, bytes] = {}
    try:
        for kind, start, end in _chunks(data, 12):
            if len(regions) == MOST_PICTURES:
                damage = TOO_MANY
                break
            if kind == b"ANMF":
                regions.append(_region(data, start, end))
            elif kind == b"ANIM":
                (plays,) = data.unpack("<H", start + 4)
            elif kind in (b"ICCP", b"EXIF", b"XMP "):
                kept.setdefault(kind, data[start:end])
    except (struct.error, ValueError):
        damage = "the file ends too early"
    if not regions:
        raise no_frame(damage or "it has no frames")
    if len(regions) == 1 and not damage:
        return None
    icc, exif, xmp = (kept.get(kind) or None for kind in (b"ICCP", b"EXIF", b"XMP "))
    metadata = Metadata(format="WEBP", mode="RGB", icc=icc, exif=exif, xmp=xmp)
    orientation = stored_orientation(metadata)
    width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))

    def decode(region: Region) -> Picture:
        return _decode(data, region)

    metadata = upright_metadata(metadata, orientation)
    return Animation("WEBP", width, height, plays, regions, decode, metadata, orientation, damage)


def _chunks(data: FileBytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Tell kind, start and end of each chunk's contents; raises struct.error, ValueError."""
    (size,) = data.unpack("<I", 4)
    last = size + 8
    while at < last:
        kind, size = data.unpack("<4sI", at)
        if at + 8 + size > len(data):
            raise ValueError("the file ends before its pixels do")
        yield kind, at + 8, at + 8 + size
        at += 8 + size + size % 2


def _region(data: FileBytes, start: int, end: int) -> Region:
    head = data[start : start + _HEADER]
    left, top, width, height, duration = (
        int.from_bytes(head[at : at + 3], "little") for at in range(0, 15, 3)
    )
    kind, _, _, bits = data.unpack("<4sIBI", start + _HEADER)
    return Region(
        2 * left,
        2 * top,
        width + 1,
        height + 1,
        fraction(duration, 1000),
        over=not head[15] & _NO_BLENDING,
        after="cleared" if head[15] & _CLEARED else "stays",
        has_alpha=kind == b"ALPH" or (kind == b"VP8L" and bool(bits >> 28 & 1)),
        start=start + _HEADER,
        end=end,
    )


def _decode(data: FileBytes, region: Region) -> Picture:
    """Decode a frame's own pixels, as a file of their own."""
    body = data.read(region.start, region.end)
    if body[:4] == b"ALPH":
        body = _extended(_ALPHA, region.width, region.height) + body
    still = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    image = pillow_image(still, "WEBP")
    if image.size != (region.width, region.height):
        raise ValueError("a frame is of another size than it says")
    pixels, alpha, _ = pixels_of(image, Metadata())
    return Picture(pixels, alpha)


def _extended(flags: int, width: int, height: int) -> bytes:
    return _chunk(b"VP8X", struct.pack("<I", flags) + _three(width - 1) + _three(height - 1))


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


class WebpWriter:
    """Writes an animation a frame at a time, of each what has changed; `encode` encodes stills."""

    def __init__(
        self, file: BinaryIO, plays: int, encode: Callable[[Picture, BinaryIO], None]
    ) -> None:
        self._file = file
        self._plays = plays
        self._encode = encode
        self._ticks = Ticks(1000)
        self._before: Picture | None = None
        self._flags, self._size = _ANIMATED, (0, 0)
        self._start = file.tell()
        self._behind = b""
        self.notes: list[str] = []

    def add(self, picture: Picture, seconds: Fraction) -> None:
        """Write the next frame."""
        box = (0, 0, picture.width, picture.height)
        if self._before is None:
            self._begin(picture)
        else:
            box = changed_box(self._before, picture)
        self._before = picture
        part, left, top = cropped(picture, box), *box[:2]
        body, has_alpha = self._encoded(part)
        self._flags |= _ALPHA if has_alpha else 0
        numbers = (left // 2, top // 2, part.width - 1, part.height - 1)
        head = b"".join(map(_three, (*numbers, self._ticks.of(seconds, _LONGEST))))
        self._file.write(_chunk(b"ANMF", head + bytes((_NO_BLENDING,)) + body))

    def close(self) -> None:
        """Write what comes last, and the sizes that come first."""
        self._file.write(self._behind)
        end = self._file.tell()
        size = end - self._start - 8
        if size > _LARGEST:
            raise ImageError("would be larger than the 4 GiB of a WebP file.", "Use --format png")
        self._file.seek(self._start)
        self._file.write(b"RIFF" + struct.pack("<I", size) + b"WEBP")
        self._file.write(_extended(self._flags, *self._size))
        self._file.seek(end)

    def _begin(self, picture: Picture) -> None:
        metadata, self._size = picture.metadata, (picture.width, picture.height)
        self._file.write(bytes(12) + _extended(0, *self._size))  # by `close`
        if metadata.icc:
            self._flags |= _ICC
            self._file.write(_chunk(b"ICCP", metadata.icc))
        self._file.write(_chunk(b"ANIM", bytes(4) + struct.pack("<H", min(self._plays, 65535))))
        for kind, flag, body in (
            (b"EXIF", _EXIF, metadata.exif),
            (b"XMP ", _XMP, metadata.xmp),
        ):
            if body:
                self._flags |= flag
                self._behind += _chunk(kind, body)

    def _encoded(self, picture: Picture) -> tuple[bytes, bool]:
        """Return the chunks of a still that are its pixels, and whether some are transparent."""
        still = BytesIO()
        self._encode(picture, still)
        data = FileBytes(still)
        pixels = {
            kind: data[start:end]
            for kind, start, end in _chunks(data, 12)
            if kind in (b"ALPH", b"VP8 ", b"VP8L")
        }
        body = b"".join(_chunk(kind, content) for kind, content in pixels.items())
        return body, picture.alpha is not None
