"""TIFF directories, which a TIFF file and an EXIF block share, as raw fields.

Values stay the bytes that they were, in their byte order: maker notes and odd types survive, which
a round trip through numbers would not promise. Layouts: TIFF 6.0 section 2, BigTIFF, EXIF 2.32
section 4.6.
"""

import struct
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, TypeAlias

from drcnet_cli.imageio.lazy import FileBytes

Order: TypeAlias = Literal["<", ">"]
Data: TypeAlias = bytes | bytearray | memoryview | FileBytes

BYTE, SHORT, LONG, RATIONAL, UNDEFINED = 1, 3, 4, 5, 7
_RATIONALS = (RATIONAL, 10)
# Bytes a value, and how to read one as a number, by field type.
_SIZES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
    16: 8, 17: 8, 18: 8,
}  # fmt: skip
_CODES = {
    1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 13: "I",
    16: "Q", 17: "q", 18: "Q",
}  # fmt: skip

ORIENTATION = 0x0112
_EXIF, _GPS, _INTEROP = 0x8769, 0x8825, 0xA005
_WIDTH_HEIGHT = (0xA002, 0xA003)
_THUMBNAIL_AT, _THUMBNAIL_BYTES = 0x0201, 0x0202
# Fields of the first directory that describe the photograph rather than how its pixels are stored:
# titles, makers, dates, authors, rights, ratings, IPTC.
_DESCRIPTIVE = {
    269, 270, 271, 272, ORIENTATION, 285, 305, 306, 315, 316, 18246, 18249, 33432, 33723,
    40091, 40092, 40093, 40094, 40095,
}  # fmt: skip
GEOREFERENCE, _IMAGEJ = "the georeference (GeoTIFF)", "ImageJ's data"
# Fields that no other format has a place for.
_PRIVATE = {
    33550: GEOREFERENCE, 33922: GEOREFERENCE, 34264: GEOREFERENCE, 34735: GEOREFERENCE,
    34736: GEOREFERENCE, 34737: GEOREFERENCE, 42112: "GDAL's data", 42113: "GDAL's data",
    50838: _IMAGEJ, 50839: _IMAGEJ,
}  # fmt: skip
LAST_CLASSIC = 13  # field types above are BigTIFF's
_MOST_FIELDS = 4096
_DEEPEST = 2  # EXIF inside the first directory, interoperability inside EXIF


@dataclass(frozen=True)
class Layout:
    """Byte order (`<` or `>`), and whether offsets have 8 bytes (BigTIFF)."""

    order: Order
    big: bool = False


@dataclass(frozen=True)
class Field:
    """One entry: its type's number, how many values, their bytes, and where these lie."""

    kind: int
    count: int
    raw: bytes
    at: int = 0

    def numbers(self, layout: Layout) -> tuple[int, ...]:
        """Return the values; a rational is two. Raises ValueError for types without integers."""
        if self.kind not in _CODES:
            raise ValueError(f"field type {self.kind} where a number was expected")
        return struct.unpack(f"{layout.order}{_CODES[self.kind] * self.count}", self.raw)


@dataclass
class Directory:
    """One directory; `children` are the EXIF, GPS and interoperability directories by tag."""

    fields: dict[int, Field] = field(default_factory=dict)
    children: dict[int, "Directory"] = field(default_factory=dict)
    link_at: int = 0
    next: int = 0

    @property
    def count(self) -> int:
        """Entries that it has when it is written."""
        return len({*self.fields, *self.children})


def read_header(data: Data) -> tuple[Layout, int]:
    """Return the layout and where the first directory lies; raises ValueError if it is no TIFF."""
    head = bytes(data[:16])
    orders: dict[bytes, Order] = {b"II": "<", b"MM": ">"}
    order = orders.get(head[:2])
    if order is None or len(head) < 8:
        raise ValueError("no TIFF header")
    (version,) = struct.unpack_from(order + "H", head, 2)
    if version == 43:
        return Layout(order, big=True), struct.unpack_from(order + "Q", head, 8)[0]
    if version != 42:
        raise ValueError("no TIFF header")
    return Layout(order), struct.unpack_from(order + "I", head, 4)[0]


def read_directory(
    data: Data,
    layout: Layout,
    at: int,
    depth: int = 0,
    only: Container[int] | None = None,
) -> Directory:
    """Read the directory at an offset, and those inside it; `only` some tags where they are given.

    Fields of unknown type, or whose values lie outside the data, are left out, as readers do.
    Raises struct.error or ValueError where no directory can be.
    """
    view = data if isinstance(data, FileBytes) else memoryview(data)
    counts, entry, offset = ("Q", 20, "Q") if layout.big else ("H", 12, "I")
    start = at + struct.calcsize(layout.order + counts)
    (total,) = struct.unpack(layout.order + counts, view[at:start])
    if total > _MOST_FIELDS:
        raise ValueError(f"a directory of {total} fields")
    directory = Directory(link_at=start + total * entry)
    end = directory.link_at + struct.calcsize(layout.order + offset)
    entries = view[start:end]
    left = len(view)  # values that overlap could fill any memory
    for place in range(0, total * entry, entry):
        tag, kind, count = struct.unpack_from(f"{layout.order}HH{offset}", entries, place)
        if only is not None and tag not in only:
            continue
        inline = place + entry - struct.calcsize(layout.order + offset)
        size = _SIZES.get(kind, 0) * count
        where = start + inline
        if size > place + entry - inline:
            (where,) = struct.unpack_from(layout.order + offset, entries, inline)
        if size and where + size <= len(view):
            left -= size
            if left < 0:
                raise ValueError("its fields are larger than the file")
            found = Field(kind, count, bytes(view[where : where + size]), where)
            directory.fields[tag] = found
            if tag in (_EXIF, _GPS, _INTEROP) and depth < _DEEPEST and kind in _CODES:
                _read_child(view, layout, directory, tag, depth)
    if end <= len(view):
        (directory.next,) = struct.unpack_from(layout.order + offset, entries, total * entry)
    return directory


def _read_child(view: Data, layout: Layout, directory: Directory, tag: int, depth: int) -> None:
    """Read a directory inside another; a broken one is left out and its parent kept."""
    (at, *_) = directory.fields.pop(tag).numbers(layout)
    try:
        directory.children[tag] = read_directory(view, layout, at, depth + 1)
    except (struct.error, ValueError):
        return


def write_directory(directory: Directory, order: Order, at: int, following: int = 0) -> bytes:
    """Return a directory, its values and its children as the bytes that belong at offset `at`.

    Classic TIFF: offsets of 4 bytes; `at` even.
    """
    tags = sorted({*directory.fields, *directory.children})
    overflow = at + 2 + 12 * len(tags) + 4
    entries, tail = [], bytearray()
    for tag in tags:
        if child := directory.children.get(tag):
            kind, count, raw = LONG, 1, struct.pack(order + "I", overflow + len(tail))
            tail += write_directory(child, order, overflow + len(tail))
        else:
            found = directory.fields[tag]
            kind, count, raw = found.kind, found.count, found.raw
            if len(raw) > 4:
                raw = struct.pack(order + "I", overflow + len(tail))
                tail += found.raw + b"\0" * (len(found.raw) % 2)
        entries.append(struct.pack(order + "HHI", tag, kind, count) + raw.ljust(4, b"\0"))
    return b"".join(
        (struct.pack(order + "H", len(tags)), *entries, struct.pack(order + "I", following), tail)
    )


def in_order(directory: Directory, order: Order, wanted: Order) -> Directory:
    """Return a directory, read in one byte order, with the bytes of its values in another."""
    if order == wanted:
        return directory
    fields = {tag: _swapped(found) for tag, found in directory.fields.items()}
    children = {tag: in_order(child, order, wanted) for tag, child in directory.children.items()}
    return Directory(fields, children)


def _swapped(found: Field) -> Field:
    size = _SIZES[found.kind] // (2 if found.kind in _RATIONALS else 1)
    pieces = (found.raw[at : at + size][::-1] for at in range(0, len(found.raw), size))
    return Field(found.kind, found.count, b"".join(pieces))


def integers(order: Order, kind: int, values: Iterable[int]) -> Field:
    """Make a field of integers."""
    numbers = tuple(values)
    return Field(kind, len(numbers), struct.pack(f"{order}{_CODES[kind] * len(numbers)}", *numbers))


def rational(order: Order, value: float) -> Field:
    """Make a field of one non-negative rational."""
    fraction = Fraction(value).limit_denominator(10_000)
    return Field(RATIONAL, 1, struct.pack(order + "II", fraction.numerator, fraction.denominator))


def opaque(kind: int, raw: bytes) -> Field:
    """Make a field of bytes."""
    return Field(kind, len(raw), raw)


def descriptive(directory: Directory) -> Directory:
    """Return the part of a first directory that describes the photograph, orientation included."""
    fields = {tag: value for tag, value in directory.fields.items() if tag in _DESCRIPTIVE}
    return Directory(fields, {tag: directory.children[tag] for tag in directory.children})


def exif_from_directory(directory: Directory, order: Order) -> bytes | None:
    """Return an EXIF block with what a TIFF's directory says of the photograph, None if nothing."""
    kept = descriptive(directory)
    if not kept.children and not kept.fields.keys() - {ORIENTATION}:
        return None
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "I", 8) + write_directory(kept, order, 8)


def private_block(directory: Directory, order: Order, is_turned: bool) -> bytes | None:
    """Return a block like EXIF's of fields that only a TIFF holds, None if there are none.

    A georeference is true of the picture as it was stored, not of one that is turned.
    """
    tags = {tag for tag in _PRIVATE if not (is_turned and _PRIVATE[tag] == GEOREFERENCE)}
    fields = {
        tag: found
        for tag, found in directory.fields.items()
        if tag in tags and found.kind <= LAST_CLASSIC
    }
    if not fields:
        return None
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "I", 8) + write_directory(Directory(fields), order, 8)


def private_names(block: bytes) -> list[str]:
    """Name what the fields of a `private_block` are, once each."""
    layout, first = read_header(block)
    fields = read_directory(block, layout, first).fields
    return list(dict.fromkeys(_PRIVATE[tag] for tag in fields if tag in _PRIVATE))


def first_number(exif: bytes, tag: int, default: int) -> int:
    """Return a number of an EXIF block's first directory, `default` if it has none."""
    block = exif.removeprefix(b"Exif\0\0")
    try:
        layout, first = read_header(block)
        found = read_directory(block, layout, first).fields.get(tag)
        return found.numbers(layout)[0] if found else default
    except (struct.error, ValueError):
        return default


def upright_exif(exif: bytes, orientation: int) -> bytes | None:
    """Return an EXIF block for the picture turned upright: orientation 1, sides swapped if turned.

    The thumbnail, which shows the picture as it was, is taken out. Everything else stays byte for
    byte where it is, so that maker notes keep their offsets. None if the block is unreadable.
    """
    block = bytearray(exif.removeprefix(b"Exif\0\0"))
    try:
        layout, first = read_header(block)
        directory = read_directory(block, layout, first)
        if (found := directory.fields.get(ORIENTATION)) and found.kind in (SHORT, LONG):
            struct.pack_into(layout.order + _CODES[found.kind], block, found.at, 1)
        if 5 <= orientation <= 8:
            _swap_sides(block, directory)
        if directory.next:
            _drop_thumbnail(block, layout, directory)
    except (struct.error, ValueError):
        return None
    return bytes(block)


def _swap_sides(block: bytearray, directory: Directory) -> None:
    """Exchange the EXIF width and height, if they are stored alike."""
    exif = directory.children.get(_EXIF, Directory())
    sides = [exif.fields.get(tag) for tag in _WIDTH_HEIGHT]
    if sides[0] and sides[1] and sides[0].kind == sides[1].kind and len(sides[0].raw) <= 4:
        for here, there in (sides, sides[::-1]):
            assert here and there
            block[here.at : here.at + len(there.raw)] = there.raw


def _drop_thumbnail(block: bytearray, layout: Layout, directory: Directory) -> None:
    """Unlink the second directory and blank the small picture that it points to."""
    width = 8 if layout.big else 4
    second, directory.next = directory.next, 0
    block[directory.link_at : directory.link_at + width] = bytes(width)
    try:
        thumbnail = read_directory(block, layout, second, _DEEPEST)
        (at,) = thumbnail.fields[_THUMBNAIL_AT].numbers(layout)
        (size,) = thumbnail.fields[_THUMBNAIL_BYTES].numbers(layout)
    except (struct.error, ValueError, KeyError):
        return
    if 0 < at <= at + size <= len(block):
        block[at : at + size] = bytes(size)
        if at + size == len(block):
            del block[at:]
