"""What is held out of training, to validate on: decided by names, so that it is the same always."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

T = TypeVar("T")

# What `drcnet data prepare` adds to a picture's name for each of its crops.
_CROP = re.compile(r"_c\d{3,}$")


def hold_out(
    items: Sequence[T], share: float, name_of: Callable[[T], str]
) -> tuple[list[T], list[T]]:
    """Split into (training, held): about `share` of the names are held, at least one if any is.

    Items of one name, and crops of one picture, stay together, so that frames of one scene are
    never on both sides. A new picture moves no other one. One held item of each name comes first,
    in random order, then the second ones: any first part of them is a fair choice. With fewer than
    two names nothing is held.
    """

    def origin(item: T) -> str:
        return _origin(name_of(item))

    places = {name: _place(name) for name in map(origin, items)}
    if share == 0 or len(places) < 2:
        return list(items), []
    held_names = {name for name, place in places.items() if place < share}
    if not held_names or len(held_names) == len(places):
        held_names = {min(places, key=places.__getitem__)}
    training = [item for item in items if origin(item) not in held_names]
    held = [item for item in items if origin(item) in held_names]
    turns: Counter[str] = Counter()
    keys = []
    for item in held:
        turns[origin(item)] += 1
        keys.append((turns[origin(item)], places[origin(item)]))
    order = sorted(range(len(held)), key=keys.__getitem__)
    return training, [held[number] for number in order]


def _origin(name: str) -> str:
    """Return the name of the picture without file type and number of a crop."""
    return _CROP.sub("", str(PurePosixPath(name).with_suffix("")))


def _place(name: str) -> float:
    """Return a name's fixed place in [0, 1)."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
