"""GIF files block by block: animations read frame by frame, and everything that is written.

GIF 89a. Pillow decodes and encodes the frames; it would keep all of those that it writes in memory.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image

from drcnet_cli.imageio.animation import (
    After,
    Animation,
    Region,
    Ticks,
    changed_box,
    cropped,
    fraction,
)
from drcnet_cli.imageio.decode import pillow_image, pixels_of
from drcnet_cli.imageio.lazy import MOST_PICTURES, TOO_MANY, FileBytes, sub_blocks
from drcnet_cli.imageio.picture import Metadata, Picture

MAGIC = (b"GIF87a", b"GIF89a")
_IMAGE, _EXTENSION, _END = b",", b"!", b";"
_CONTROL, _COMMENT, _APPLICATION = 0xF9, 0xFE, 0xFF
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_XMP, _ICC = b"XMP DataXMP", b"ICCRGBG1012"
# Behind XMP, which is no sub-blocks, for readers that take it for such.
_XMP_END = b"\1" + bytes(range(255, -1, -1)) + b"\0"
_AFTER: dict[int, After] = {2: "cleared", 3: "undone"}
_STAYS, _CLEARED = 1, 2
_COLOURS, _SEEN_FROM = 256, 128
_LONGEST = 65535


@dataclass
class _Found:
    """What the blocks before the next frame, and of the whole file, have said."""

    regions: list[Region] = field(default_factory=list)
    control: tuple[int, int, int] = (0, 0, 0)  # flags, hundredths of a second, transparent colour
    plays: int = 1
    metadata: Metadata = field(default_factory=lambda: Metadata(format="GIF", mode="P"))
    damage: str = ""
    notes: tuple[str, ...] = ()


def read_animation(data: FileBytes) -> Animation | None:
    """Read what a GIF file says of its frames; None for fewer than two.

    Raises struct.error where it ends in its header.
    """
    width, height, flags = data.unpack("<HHB", 6)
    table = data[13 : 13 + _table_bytes(flags)]
    found = _walk(data, 13 + len(table))
    if len(found.regions) + bool(found.damage) < 2 or not found.regions:
        return None
    first = found.regions[0]
    # As browsers do: a first frame that is larger than the screen is the screen.
    width, height = max(width, first.left + first.width), max(height, first.top + first.height)

    def decode(region: Region) -> Picture:
        return _decode(data, table, flags, region)

    metadata = replace(found.metadata, notes=found.notes)
    return Animation(
        "GIF", width, height, found.plays, found.regions, decode, metadata, damage=found.damage
    )


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _walk(data: FileBytes, at: int) -> _Found:
    """Follow the blocks to the end."""
    found, kind = _Found(), b""
    try:
        while (kind := data[at : at + 1]) != _END:
            if len(found.regions) == MOST_PICTURES:
                found.damage = TOO_MANY
                break
            if not kind:
                found.notes = ("its end mark is missing",)
                break
            if kind == _IMAGE:
                at = _read_image(data, at, found)
            elif kind == _EXTENSION:
                at = _read_extension(data, at, found)
            else:
                at += 1  # some writers leave bytes between blocks
    except struct.error:
        # Behind a first frame only another one is missed, as by those who read stills.
        if kind == _IMAGE or len(found.regions) > 1:
            found.damage = "the file ends too early"
    return found


def _read_image(data: FileBytes, at: int, found: _Found) -> int:
    left, top, width, height, flags = data.unpack("<HHHHB", at + 1)
    *_, (_, end) = sub_blocks(data, at + 10 + _table_bytes(flags) + 1)
    control, hundredths, key = found.control
    has_key = bool(control & 1)
    found.regions.append(
        Region(
            left,
            top,
            width,
            height,
            fraction(hundredths, 100),
            over=True,
            after=_AFTER.get(control >> 2 & 7, "stays"),
            has_alpha=has_key,
            start=at,
            end=end,
            key=key if has_key else None,
        )
    )
    found.control = (0, 0, 0)
    return end


def _read_extension(data: FileBytes, at: int, found: _Found) -> int:
    (label,) = data.unpack("B", at + 1)
    blocks = list(sub_blocks(data, at + 2))
    start, end = blocks[0]
    head, rest = data[start:end], blocks[1:]
    metadata = found.metadata
    if label == _CONTROL and len(head) >= 4:
        found.control = struct.unpack_from("<BHB", head)
    elif label == _COMMENT and not metadata.comment:
        comment = b"".join(data[start:end] for start, end in blocks) or None
        found.metadata = replace(metadata, comment=comment)
    elif label == _APPLICATION and head in _LOOPS and rest:
        start, end = rest[0]
        if end - start >= 3 and data[start : start + 1] == b"\1":
            (again,) = data.unpack("<H", start + 1)
            found.plays = again + 1 if again else 0  # it tells how often it is played again
    elif label == _APPLICATION and head == _XMP:
        xmp = data[end : blocks[-1][1]].removesuffix(_XMP_END) or None
        found.metadata = replace(metadata, xmp=xmp)
    elif label == _APPLICATION and head == _ICC:
        icc = b"".join(data[start:end] for start, end in rest) or None
        found.metadata = replace(metadata, icc=icc)
    return blocks[-1][1]


def _decode(data: FileBytes, table: bytes, flags: int, region: Region) -> Picture:
    """Decode a frame's own pixels, as a file of their own."""
    size = struct.pack("<HH", region.width, region.height)
    head = b"GIF89a" + size + bytes((flags, 0, 0)) + table
    control = b"" if region.key is None else _control(1, 0, region.key)
    place = _IMAGE + bytes(4) + size
    still = head + control + place + data.read(region.start + 9, region.end) + _END
    pixels, alpha, _ = pixels_of(pillow_image(still, "GIF"), Metadata())
    # Of gray tables Pillow makes one channel.
    return Picture(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels, alpha)


def _control(flags: int, hundredths: int, key: int) -> bytes:
    return b"!\xf9\4" + struct.pack("<BHB", flags, hundredths, key) + b"\0"


class GifWriter:
    """Writes an animation, or one picture, of which it keeps two frames at most.

    Each frame has 256 colours of its own; where one is transparent, the one before is cleared away,
    else only what changes is written.
    """

    def __init__(self, file: BinaryIO, plays: int | None) -> None:
        self._file = file
        self._plays = plays
        self._ticks = Ticks(100)
        self._before: Picture | None = None
        self._held: tuple[Picture, int] | None = None
        self._cleared = True  # is the canvas empty where the held frame will be drawn?
        self.notes: list[str] = []

    def add(self, picture: Picture, seconds: Fraction) -> None:
        """Write the next frame."""
        hundredths = self._ticks.of(seconds, _LONGEST)
        if self._ticks.rounded and not self.notes:
            self.notes.append("durations rounded to hundredths of a second, as GIF has them")
        if self._held is None:
            self._begin(picture)
        else:
            self._write_held(clear=_is_seen_through(picture))
        self._held = picture, hundredths

    def close(self) -> None:
        """Write what is left, and the end."""
        self._write_held(clear=False)
        self._file.write(_END)

    def _begin(self, picture: Picture) -> None:
        metadata = picture.metadata
        size = struct.pack("<HH", picture.width, picture.height)
        self._file.write(b"GIF89a" + size + b"\x70\0\0")
        if self._plays is not None and self._plays != 1:
            again = min(max(self._plays - 1, 0), _LONGEST)
            self._file.write(b"!\xff\x0b" + _LOOPS[0] + struct.pack("<BBH", 3, 1, again) + b"\0")
        if metadata.comment:
            self._file.write(b"!\xfe" + _blocks(metadata.comment))
        if metadata.icc:
            self._file.write(b"!\xff\x0b" + _ICC + _blocks(metadata.icc))
        if metadata.xmp:
            self._file.write(b"!\xff\x0b" + _XMP + metadata.xmp + _XMP_END)

    def _write_held(self, clear: bool) -> None:
        assert self._held is not None
        picture, hundredths = self._held
        box = (0, 0, picture.width, picture.height)
        if not (clear or self._cleared or self._before is None):
            box = changed_box(self._before, picture)
        table, pixels, key = _encoded(cropped(picture, box))
        flags = (_CLEARED if clear else _STAYS) << 2 | (key is not None)
        if self._plays is not None or key is not None:
            self._file.write(_control(flags, hundredths, key or 0))
        left, top, right, bottom = box
        place = struct.pack("<HHHH", left, top, right - left, bottom - top)
        colours = 0x80 | (len(table) // 3).bit_length() - 2
        self._file.write(_IMAGE + place + bytes((colours,)) + table + pixels)
        self._before, self._cleared = picture, clear


def _is_seen_through(picture: Picture) -> bool:
    return picture.alpha is not None and bool((picture.alpha < _SEEN_FROM).any())


def _blocks(data: bytes) -> bytes:
    """Cut into sub-blocks, the empty last one among them."""

    def cut() -> Iterator[bytes]:
        for start in range(0, len(data), 255):
            piece = data[start : start + 255]
            yield bytes((len(piece),)) + piece
        yield b"\0"

    return b"".join(cut())


def _encoded(picture: Picture) -> tuple[bytes, bytes, int | None]:
    """Return a frame's table of colours, its compressed pixels, and its transparent colour."""
    hidden = None
    if picture.alpha is not None and _is_seen_through(picture):
        hidden = picture.alpha < _SEEN_FROM
    image, key = _indexed(picture.pixels, hidden)
    encoded = BytesIO()
    image.save(encoded, "GIF", optimize=False, interlace=0)
    still = FileBytes(encoded)
    at = 13 + _table_bytes(*still.unpack("B", 10))
    table = still[13:at]
    while still[at : at + 1] != _IMAGE:
        at = [end for _, end in sub_blocks(still, at + 2)][-1]
    return table, still[at + 10 : len(still) - 1], key


def _indexed(pixels: np.ndarray, hidden: np.ndarray | None) -> tuple[Image.Image, int | None]:
    """Choose colours, exactly the picture's where they are few enough, and a transparent one."""
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if hidden is None:
        return Image.fromarray(pixels).quantize(_COLOURS, Image.Quantize.MEDIANCUT, kmeans=1), None
    seen = pixels[~hidden]
    pixels = np.where(hidden[..., None], seen[0] if len(seen) else 0, pixels).astype(np.uint8)
    image = Image.fromarray(pixels).quantize(_COLOURS - 1, Image.Quantize.MEDIANCUT, kmeans=1)
    table = (image.getpalette() or [])[: 3 * (_COLOURS - 1)]
    indices = np.asarray(image).copy()
    indices[hidden] = key = len(table) // 3
    keyed = Image.fromarray(indices)
    keyed.putpalette([*table, 0, 0, 0])
    return keyed, key


def losses(picture: Picture) -> list[str]:
    """Name what GIF cannot keep of a picture's 8-bit pixels."""
    lost, alpha = [], picture.alpha
    if picture.pixels.shape[2] == 3 and not Image.fromarray(picture.pixels).getcolors(_COLOURS):
        lost.append("colours reduced to 256, all that a GIF's frame has")
    if alpha is not None and bool(((alpha > 0) & (alpha < 255)).any()):
        lost.append("partial transparency became all or none, as GIF has it")
    return lost


def write_gif(picture: Picture, file: BinaryIO) -> None:
    """Encode one picture, with 256 colours and what is transparent by half."""
    writer = GifWriter(file, None)
    writer.add(picture, Fraction(0))
    writer.close()
