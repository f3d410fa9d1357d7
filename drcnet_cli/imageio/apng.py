"""Animated PNG chunk by chunk: frames read at any depth, and written one at a time.

PNG specification, third edition, 11.3.6. Pillow reads 16 bits as 8, and would keep all frames that
it writes in memory.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import BinaryIO

from drcnet_cli.imageio.animation import (
    After,
    Animation,
    Region,
    changed_box,
    cropped,
    fraction,
    no_frame,
)
from drcnet_cli.imageio.decode import stored_orientation, upright_metadata
from drcnet_cli.imageio.lazy import MOST_PICTURES, TOO_MANY, FileBytes
from drcnet_cli.imageio.picture import Picture
from drcnet_cli.imageio.png import GRAY_ALPHA, MAGIC, RGBA, metadata_of, read_png
from drcnet_cli.imageio.png_write import compressed, make_chunk, write_chunk, write_head

_AFTER: dict[int, After] = {1: "cleared", 2: "undone"}
_LONGEST = 65535
_NO_POSTER = "the still for viewers without animation left out"


@dataclass
class _Found:
    """What the chunks have said; `decoding` are those without which no frame can be decoded."""

    header: bytes = b""
    frames: int = 0
    plays: int = 0
    controls: list[int] = field(default_factory=list)  # where frames begin
    kept: list[tuple[bytes, bytes]] = field(default_factory=list)
    decoding: bytes = b""
    poster: bool = False
    end: int = 0
    damage: str = ""


def read_animation(data: FileBytes) -> Animation | None:
    """Read what a PNG file says of its frames; None for fewer than two.

    Raises ImageError for an animation without one whole frame.
    """
    found = _walk(data)
    if found is None:
        return None
    width, height, _, colour = struct.unpack_from(">IIBB", found.header)
    has_alpha = colour in (GRAY_ALPHA, RGBA) or b"tRNS" in found.decoding
    ends = [*found.controls[1:], found.end]
    starts = found.controls[:-1] if found.damage else found.controls  # without what is cut off
    regions = [
        _region(data, start, end, has_alpha) for start, end in zip(starts, ends, strict=False)
    ]
    if not regions:
        raise no_frame(found.damage)
    raw = metadata_of(found.kept)
    if found.poster:
        raw = replace(raw, notes=(*raw.notes, _NO_POSTER))
    orientation = stored_orientation(raw)

    def decode(region: Region) -> Picture:
        return _decode(data, found, region)

    metadata = upright_metadata(raw, orientation)
    return Animation(
        "PNG",
        width,
        height,
        found.plays,
        regions,
        decode,
        metadata,
        orientation,
        found.damage,
    )


def _walk(data: FileBytes) -> _Found | None:
    """Follow the chunks to the end; None where pixels come before any word of an animation."""
    found = _Found()
    try:
        for kind, start, end in _chunks(data, len(MAGIC), len(data)):
            if kind == b"IDAT" and found.frames < 2:
                return None
            found.end = end
            if len(found.controls) > MOST_PICTURES:
                found.damage = TOO_MANY
                break
            _note(data, found, kind, start, end)
    except (struct.error, ValueError):
        found.damage = "the file ends too early"
    if not found.damage and len(found.controls) < found.frames:
        found.damage, found.controls = "frames are missing", [*found.controls, found.end]
    return found if found.frames >= 2 else None


def _note(data: FileBytes, found: _Found, kind: bytes, start: int, end: int) -> None:
    if kind == b"fcTL":
        found.controls.append(start)
    elif kind == b"IDAT":
        found.poster = found.poster or not found.controls
    elif kind == b"IHDR":
        found.header = data[start + 8 : end - 4]
    elif kind == b"acTL":
        found.frames, found.plays = data.unpack(">II", start + 8)
    elif kind in (b"PLTE", b"tRNS"):
        found.decoding += data[start:end]
    elif kind not in (b"fdAT", b"IEND") and _is_whole(data, kind, start, end):
        found.kept.append((kind, data[start + 8 : end - 4]))


def _chunks(data: FileBytes, at: int, last: int) -> Iterator[tuple[bytes, int, int]]:
    """Tell kind, start and end of each chunk; raises struct.error, ValueError without an end."""
    kind = b""
    while at < last and kind != b"IEND":
        size, kind = data.unpack(">I4s", at)
        if at + 12 + size > last:
            raise ValueError("the file ends before its pixels do")
        yield kind, at, at + 12 + size
        at += 12 + size
    if last == len(data) and kind != b"IEND":
        raise ValueError("the file ends too early")


def _is_whole(data: FileBytes, kind: bytes, start: int, end: int) -> bool:
    (checksum,) = data.unpack(">I", end - 4)
    return zlib.crc32(data[start + 8 : end - 4], zlib.crc32(kind)) == checksum


def _region(data: FileBytes, start: int, end: int, has_alpha: bool) -> Region:
    width, height, left, top, over, under, after, blend = data.unpack(">IIIIHHBB", start + 12)
    return Region(
        left,
        top,
        width,
        height,
        fraction(over, under or 100),
        over=blend == 1,
        after=_AFTER.get(after, "stays"),
        has_alpha=has_alpha,
        start=start,
        end=end,
    )


def _decode(data: FileBytes, found: _Found, region: Region) -> Picture:
    """Decode a frame's own pixels, as a file of their own."""
    size = struct.pack(">II", region.width, region.height)
    still = [MAGIC, make_chunk(b"IHDR", size + found.header[8:]), found.decoding]
    for kind, start, end in _chunks(data, region.start, region.end):
        if kind not in (b"IDAT", b"fdAT"):
            continue
        if not _is_whole(data, kind, start, end):
            raise ValueError(f"the checksum of its {kind.decode()} chunk is wrong")
        still.append(make_chunk(b"IDAT", data[start + (8 if kind == b"IDAT" else 12) : end - 4]))
    return read_png(b"".join([*still, make_chunk(b"IEND", b"")]))


class ApngWriter:
    """Writes an animation of `total` frames of one size and kind, of each what has changed."""

    def __init__(self, file: BinaryIO, plays: int, total: int) -> None:
        self._file = file
        self._counts = struct.pack(">II", total, plays)
        self._number = 0
        self._before: Picture | None = None
        self.notes: list[str] = []

    def add(self, picture: Picture, seconds: Fraction) -> None:
        """Write the next frame."""
        first = self._before is None
        box = (0, 0, picture.width, picture.height)
        if self._before is None:
            write_head(picture, self._file, [(b"acTL", self._counts)])
        else:
            box = changed_box(self._before, picture)
        self._before = picture
        part, (left, top, _, _) = cropped(picture, box), box
        place = struct.pack(">IIII", part.width, part.height, left, top)
        self._write(b"fcTL", place + _delay(seconds) + b"\0\0")  # stays, in place of what is there
        for packed in filter(None, compressed(part)):
            if first:
                write_chunk(self._file, b"IDAT", packed)
            else:
                self._write(b"fdAT", packed)

    def close(self) -> None:
        """Write the end."""
        write_chunk(self._file, b"IEND", b"")

    def _write(self, kind: bytes, body: bytes) -> None:
        write_chunk(self._file, kind, struct.pack(">I", self._number) + body)
        self._number += 1


def _delay(seconds: Fraction) -> bytes:
    """Return a duration as two numbers of 16 bits."""
    near = seconds.limit_denominator(_LONGEST)
    if near.numerator > _LONGEST:
        near = Fraction(min(round(seconds), _LONGEST))
    return struct.pack(">HH", near.numerator, near.denominator)
