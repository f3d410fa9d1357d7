"""One damaged file for each case number: the same number and seed give the same bytes again."""

import random
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from drcnet_cli.imageio import SUPPORTED_SUFFIXES

PERCENTS = 100
_WRONG_NAMES = 0.1  # share of the cases whose name is another format's
_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEAD = 256  # bytes in which headers mostly lie

Corpus = dict[str, tuple[str, bytes]]
Change = Callable[[random.Random, bytearray, list[bytes]], None]


class Case(NamedTuple):
    """A damaged file: its number, what was done to which whole file, its name and its bytes."""

    number: int
    about: str
    name: str
    data: bytes


def make_case(number: int, seed: int, corpus: Corpus) -> Case:
    """Return case `number`; even numbers cut each whole file at every 1 %, odd ones damage one."""
    rng = random.Random(f"{seed}:{number}")
    names = list(corpus)
    if number % 2 == 0:
        place, percent = divmod(number // 2, PERCENTS)
        name = names[place % len(names)]
        suffix, data = corpus[name]
        about, data = f"cut at {percent} %", data[: len(data) * percent // 100]
    else:
        name = rng.choice(names)
        suffix, data = corpus[name]
        about, data = _damaged(rng, data, [whole for _, whole in corpus.values()])
    if rng.random() < _WRONG_NAMES:
        suffix = rng.choice(sorted(SUPPORTED_SUFFIXES))[1:]
    return Case(number, f"{name}: {about}", f"{number:06}.{suffix}", data)


def every_case(corpus: Corpus) -> int:
    """Return how many cases cut each whole file at every 1 %, and damage as many."""
    return 2 * PERCENTS * len(corpus)


def _damaged(rng: random.Random, data: bytes, others: list[bytes]) -> tuple[str, bytes]:
    """Return what was done, and the bytes after one to three changes."""
    changed, done = bytearray(data), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name, change = rng.choice(list(_CHANGES.items()))
        change(rng, changed, others)
        done.append(name)
    if changed.startswith(b"\x89PNG") and rng.random() < 0.7:
        _mend_checksums(changed)
        done.append("checksums mended")
    return ", ".join(done), bytes(changed)


def _flip_bits(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    for _ in range(min(len(data), rng.choice((1, 2, 5, 20, 50)))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _flip_header(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    for _ in range(rng.choice((1, 2, 3)) if data else 0):
        data[rng.randrange(min(_HEAD, len(data)))] = rng.randrange(256)


def _put_extreme(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    """Overwrite an integer of 1 to 8 bytes, mostly in the header, by an extreme."""
    size = rng.choice((1, 2, 4, 8))
    within = min(len(data), _HEAD if rng.random() < 0.7 else len(data)) - size
    if within < 0:
        return
    at = rng.randint(0, within)
    value = rng.choice(_EXTREMES) & (256**size - 1)
    data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _splice(rng: random.Random, data: bytearray, others: list[bytes]) -> None:
    """Put a piece of another file over, or between, some bytes."""
    other = rng.choice(others)
    start = rng.randrange(len(other))
    piece = other[start : start + rng.choice((4, 16, 64, 512))]
    at = rng.randint(0, len(data))
    data[at : at + (len(piece) if rng.random() < 0.5 else 0)] = piece


def _move(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    """Copy a piece of the file to another place in it."""
    start, at, size = rng.randint(0, len(data)), rng.randint(0, len(data)), rng.randint(1, 200)
    data[at:at] = data[start : start + size]


def _drop(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    at = rng.randint(0, len(data))
    del data[at : at + rng.choice((1, 2, 4, 30, 200))]


def _blank(rng: random.Random, data: bytearray, _: list[bytes]) -> None:
    at = rng.randint(0, len(data))
    size = min(rng.choice((1, 8, 64, 600)), len(data) - at)
    data[at : at + size] = bytes([rng.choice((0, 255))]) * size


def _append(rng: random.Random, data: bytearray, others: list[bytes]) -> None:
    data += rng.choice((rng.randbytes(100), bytes(5000), rng.choice(others)))


def _change_structure(rng: random.Random, data: bytearray, others: list[bytes]) -> None:
    """Change one field of the format's own structure: sizes, types, counts, offsets."""
    if data.startswith((b"II*\0", b"MM\0*")):
        _change_tiff_field(rng, data)
    elif data.startswith(b"\x89PNG"):
        _change_png_chunk(rng, data)
    elif data.startswith(b"\xff\xd8"):
        _change_jpeg_segment(rng, data)
    else:
        _put_extreme(rng, data, others)


def _change_tiff_field(rng: random.Random, data: bytearray) -> None:
    order = "<" if data.startswith(b"II") else ">"
    if len(data) < 8:
        return
    (at,) = struct.unpack_from(order + "I", data, 4)
    if at + 2 > len(data):
        return
    (count,) = struct.unpack_from(order + "H", data, at)
    entry = at + 2 + 12 * rng.randrange(max(1, min(count, 40)))
    if entry + 12 > len(data):
        return
    part = rng.randrange(4)
    if part == 0:
        struct.pack_into(order + "H", data, entry, rng.choice((256, 258, 259, 262, 273, 277, 322)))
    elif part == 1:
        struct.pack_into(order + "H", data, entry + 2, rng.randrange(20))
    else:
        value = rng.choice((*_EXTREMES, rng.randrange(len(data)), rng.randrange(100)))
        struct.pack_into(order + "I", data, entry + 4 * (part - 1), value)


def _change_png_chunk(rng: random.Random, data: bytearray) -> None:
    chunks = _png_chunks(data)
    if not chunks:
        return
    at, size = rng.choice(chunks)
    part = rng.randrange(4)
    if part == 0 and size:
        data[at + 8 + rng.randrange(size)] = rng.randrange(256)
    elif part == 1:
        data[at + 4 : at + 8] = rng.choice((b"tRNS", b"PLTE", b"IDAT", b"acTL", b"iCCP", b"eXIf"))
    elif part == 2:
        data[at:at] = data[at : at + 12 + size]
    else:
        del data[at : at + 12 + size]


def _png_chunks(data: bytearray) -> list[tuple[int, int]]:
    found, at = [], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if at + 12 + size > len(data):
            break
        found.append((at, size))
        at += 12 + size
    return found


def _mend_checksums(data: bytearray) -> None:
    for at, size in _png_chunks(data):
        struct.pack_into(">I", data, at + 8 + size, zlib.crc32(data[at + 4 : at + 8 + size]))


def _change_jpeg_segment(rng: random.Random, data: bytearray) -> None:
    marks = [at for at in range(len(data) - 9) if data[at] == 0xFF and 0xC0 <= data[at + 1] <= 0xFE]
    if not marks:
        return
    at = rng.choice(marks[:30])
    struct.pack_into(">H", data, at + rng.choice((2, 5, 7)), rng.choice(_EXTREMES) & 0xFFFF)


_CHANGES: dict[str, Change] = {
    "bits flipped": _flip_bits,
    "header bytes": _flip_header,
    "an extreme": _put_extreme,
    "splice": _splice,
    "piece moved": _move,
    "piece dropped": _drop,
    "piece blanked": _blank,
    "appended": _append,
    "structure": _change_structure,
    "structure again": _change_structure,
}
