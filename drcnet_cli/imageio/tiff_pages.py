"""Which of a TIFF's pictures is the photograph: previews, masks and further pages told apart.

TIFF 6.0 (NewSubfileType, SubfileType), TIFF Tech Note 1 (SubIFDs), TIFF/EP and DNG (a preview
first, the photograph below it).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.ifd import Layout, read_directory

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC, _SUB_IFDS = 254, 255, 256, 257, 262, 330
_DNG_VERSION = 50706
_READ = {_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION}
_PIECES = {273, 279, 324, 325}  # offsets and sizes of strips and tiles
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2
_SENSOR_COLOURS = {32803, 34892}  # colour filter array, linear RAW
_TRANSPARENCY_MASK = 4
_MOST_PAGES = 1000


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


def first_page_at(data: bytes, layout: Layout, at: int) -> bytes:
    """Return the file with one directory as its only page, for decoders that take the first."""
    changed = bytearray(data)
    where, code = (8, "Q") if layout.big else (4, "I")
    struct.pack_into(layout.order + code, changed, where, at)
    link = read_directory(data, layout, at, only=()).link_at
    struct.pack_into(layout.order + code, changed, link, 0)
    return bytes(changed)


def _chain(data: bytes, layout: Layout, first: int) -> tuple[list[_Entry], list[str]]:
    """Return the pages in a row; a damaged one beside a sound first one ends it, said."""
    chain = [_entry(data, layout, first)]
    seen = {first}
    while (at := chain[-1].next) and at not in seen and len(seen) < _MOST_PAGES:
        seen.add(at)
        try:
            chain.append(_entry(data, layout, at))
        except (struct.error, ValueError):
            return chain, ["its further pages are damaged and were left out"]
    return chain, []


def _below(data: bytes, layout: Layout, chain: list[_Entry]) -> Iterator[_Entry]:
    places = [at for entry in chain for at in entry.below]
    for at in places[:_MOST_PAGES]:
        try:
            yield _entry(data, layout, at)
        except (struct.error, ValueError):
            continue


def _entry(data: bytes, layout: Layout, at: int) -> _Entry:
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
