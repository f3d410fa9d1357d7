"""TIFF files of several pictures, chained from files of one."""

import image_fixtures as make
import numpy as np

REDUCED, PAGE, MASK = 1, 2, 4


def joined(*pages: bytes, below: int | None = None) -> bytes:
    """Chain little-endian TIFFs of one page; `below`: that one is a SubIFD of the first."""
    file, starts = bytearray(), []
    for page in pages:
        file += bytes(len(file) % 2)
        base = len(file)
        file += page
        at = base + int.from_bytes(page[4:8], "little")
        count = int.from_bytes(file[at : at + 2], "little")
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            _move(file, entry, base)
        starts.append((at, at + 2 + 12 * count))
    chain = [n for n in range(len(pages)) if n != below]
    file[4:8] = starts[0][0].to_bytes(4, "little")
    for here, following in zip(chain, chain[1:], strict=False):
        link = starts[here][1]
        file[link : link + 4] = starts[following][0].to_bytes(4, "little")
    if below is not None:
        at, end = starts[0]
        entry = next(e for e in range(at + 2, end, 12) if file[e : e + 2] == b"\x4a\x01")
        file[entry + 8 : entry + 12] = starts[below][0].to_bytes(4, "little")
    return bytes(file)


def _move(file: bytearray, entry: int, base: int) -> None:
    """Add `base` to an entry's offset, be it of its values or of the strips."""
    number, kind = (int.from_bytes(file[entry + n : entry + n + 2], "little") for n in (0, 2))
    count = int.from_bytes(file[entry + 4 : entry + 8], "little")
    size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}[kind] * count
    value = int.from_bytes(file[entry + 8 : entry + 12], "little")
    if size > 4 or number == 273:
        file[entry + 8 : entry + 12] = (value + base).to_bytes(4, "little")


def page(array: np.ndarray, subfile=0, *tags) -> bytes:
    return make.tiff(array, tags=[(254, 4, [subfile]), *tags])
