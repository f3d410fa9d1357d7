"""Which of a TIFF's pictures is the photograph: previews, masks and further pages told apart.

TIFF 6.0 (NewSubfileType, SubfileType), TIFF Tech Note 1 (SubIFDs), TIFF/EP and DNG (a preview
first, the photograph below it).
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.ifd import (
    LAST_CLASSIC,
    LONG,
    Data,
    Directory,
    Field,
    Layout,
    integers,
    read_directory,
    write_directory,
)
from drcnet_cli.imageio.lazy import MOST_PICTURES, TOO_MANY, FileBytes

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC, _SUB_IFDS = 254, 255, 256, 257, 262, 330
_DNG_VERSION = 50706
_READ = {_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION}
_PIECES = {273, 279, 324, 325}  # offsets and sizes of strips and tiles
_PLACES = {273: 279, 324: 325}
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2
_SENSOR_COLOURS = {32803, 34892}  # colour filter array, linear RAW
_TRANSPARENCY_MASK = 4
_MOST_PAGES = 1000
_DAMAGED = "its further pages are damaged and were left out"


@dataclass(frozen=True)
class _Entry:
    """One directory of the file: where it is and what it says of its picture."""

    at: int
    is_reduced: bool
    is_mask: bool
    is_raw: bool
    pixels: int
    below: tuple[int, ...]
    next: int


def choose_page(data: bytes, layout: Layout, first: int) -> tuple[int, tuple[str, ...]]:
    """Return where the photograph's directory lies, and notes on what else there is.

    Raises ImageError for several pages, struct.error or ValueError where the first directory is
    none.
    """
    chain, notes = _chain(data, layout, first)
    full = [entry for entry in chain if not entry.is_reduced and not entry.is_mask]
    if len(full) > 1:
        raise ImageError(
            f"has {len(full)} pages, and one picture is expected.",
            "Save each page as a file first.",
        )
    masks = sum(entry.is_mask for entry in chain)
    if masks and len(chain) > masks:
        notes.append("a mask page was left out" if masks == 1 else f"{masks} masks were left out")
    below = [entry for entry in _below(data, layout, chain) if not entry.is_mask]
    full += [entry for entry in below if not entry.is_reduced]
    # Where all say that they are reduced, the largest is the photograph.
    found = full or [entry for entry in chain if not entry.is_mask] or chain
    largest = max(found, key=lambda entry: entry.pixels)
    return (found[0] if found[0].pixels == largest.pixels else largest).at, tuple(notes)


def is_raw_tiff(data: bytes, layout: Layout, first: int) -> bool:
    """Tell whether a TIFF is a camera's RAW file, whatever its first page shows."""
    chain, _ = _chain(data, layout, first)
    return any(entry.is_raw for entry in (*chain, *_below(data, layout, chain)))


def piece_ends(data: bytes, layout: Layout, first: int) -> Iterator[int]:
    """Tell where every strip or tile of every picture in the file ends."""
    chain, _ = _chain(data, layout, first)
    for entry in (*chain, *_below(data, layout, chain)):
        fields = read_directory(data, layout, entry.at, only=_PIECES).fields
        for places, sizes in ((273, 279), (324, 325)):
            if places in fields and sizes in fields:
                pairs = zip(
                    fields[places].numbers(layout), fields[sizes].numbers(layout), strict=False
                )
                yield from (at + size for at, size in pairs)


@dataclass(frozen=True)
class PageList:
    """Where the directories of a file's pages lie; `damage`: what is wrong behind them."""

    places: tuple[int, ...]
    notes: tuple[str, ...]
    damage: str


def list_pages(data: FileBytes, layout: Layout, first: int) -> PageList | None:
    """List the pages of a file that has several; None for others.

    Raises struct.error or ValueError where the first directory is none.
    """
    chain, broken = _chain(data, layout, first, MOST_PICTURES)
    below = list(_below(data, layout, chain))
    full = tuple(entry.at for entry in chain if not entry.is_reduced and not entry.is_mask)
    if len(full) < 2 or any(entry.is_raw for entry in (*chain, *below)):
        return None
    masks = sum(entry.is_mask for entry in (*chain, *below))
    previews = len(chain) + len(below) - len(full) - masks
    counts = {"mask": masks, "smaller copy": previews}
    notes = tuple(
        f"a {what} of a page was left out" if count == 1 else f"{count} {_plural(what)} left out"
        for what, count in counts.items()
        if count
    )
    damage = "its further pages are damaged" if broken else ""
    if len(chain) == MOST_PICTURES:
        damage = TOO_MANY
    return PageList(full, notes, damage)


def _plural(what: str) -> str:
    return f"{what}s" if what == "mask" else "smaller copies"


def page_alone(data: FileBytes, layout: Layout, at: int) -> bytes:
    """Return a page as a file of its own: its directory, and its strips or tiles.

    Raises struct.error or ValueError where they are not all there.
    """
    found = read_directory(data, layout, at)
    fields = {
        tag: classic
        for tag, field in found.fields.items()
        if tag != _SUB_IFDS and (classic := _classic(field, layout)) is not None
    }
    body = bytearray((b"II*\0" if layout.order == "<" else b"MM\0*") + bytes(4))
    for places, sizes in _PLACES.items():
        if places in found.fields and sizes in found.fields:
            starts, lengths = [], found.fields[sizes].numbers(layout)
            for start, length in zip(found.fields[places].numbers(layout), lengths, strict=True):
                starts.append(len(body))
                body += data.read(start, start + length)
            fields[places] = integers(layout.order, LONG, starts)
            fields[sizes] = integers(layout.order, LONG, lengths)
    body += bytes(len(body) % 2)
    struct.pack_into(layout.order + "I", body, 4, len(body))
    directory = Directory(fields, found.children)
    return bytes(body) + write_directory(directory, layout.order, len(body))


def _classic(field: Field, layout: Layout) -> Field | None:
    """Return a field as a TIFF of 32 bits has it; None for one that it cannot have."""
    if field.kind <= LAST_CLASSIC:
        return field
    with suppress(struct.error):
        return integers(layout.order, LONG, field.numbers(layout))
    return None


def first_page_at(data: bytes, layout: Layout, at: int) -> bytes:
    """Return the file with one directory as its only page, for decoders that take the first."""
    changed = bytearray(data)
    where, code = (8, "Q") if layout.big else (4, "I")
    struct.pack_into(layout.order + code, changed, where, at)
    link = read_directory(data, layout, at, only=()).link_at
    struct.pack_into(layout.order + code, changed, link, 0)
    return bytes(changed)


def _chain(
    data: Data, layout: Layout, first: int, most: int = _MOST_PAGES
) -> tuple[list[_Entry], list[str]]:
    """Return the pages in a row; a damaged one beside a sound first one ends it, said."""
    chain = [_entry(data, layout, first)]
    seen = {first}
    while (at := chain[-1].next) and at not in seen and len(seen) < most:
        seen.add(at)
        try:
            chain.append(_entry(data, layout, at))
        except (struct.error, ValueError):
            return chain, [_DAMAGED]
    return chain, []


def _below(data: Data, layout: Layout, chain: list[_Entry]) -> Iterator[_Entry]:
    places = [at for entry in chain for at in entry.below]
    for at in places[:_MOST_PAGES]:
        try:
            yield _entry(data, layout, at)
        except (struct.error, ValueError):
            continue


def _entry(data: Data, layout: Layout, at: int) -> _Entry:
    directory = read_directory(data, layout, at, only=_READ)

    def numbers(tag: int) -> tuple[int, ...]:
        found = directory.fields.get(tag)
        return found.numbers(layout) if found else (0,)

    kind, (colours, *_) = numbers(_SUBFILE)[0], numbers(_PHOTOMETRIC)
    return _Entry(
        at,
        is_reduced=bool(kind & _REDUCED) or numbers(_OLD_SUBFILE)[0] == _OLD_REDUCED,
        is_mask=bool(kind & _MASK) or colours == _TRANSPARENCY_MASK,
        is_raw=_DNG_VERSION in directory.fields or colours in _SENSOR_COLOURS,
        pixels=numbers(_WIDTH)[0] * numbers(_HEIGHT)[0],
        below=tuple(place for place in numbers(_SUB_IFDS) if place),
        next=directory.next,
    )
