"""Long lists in little memory: a plan of a million pictures, and what became of each."""

import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar, overload

_CHUNK = 1024  # items

Item = TypeVar("Item")


class Packed(Sequence[Item], Generic[Item]):
    """A sequence that grows at its end: all but its last items are kept as compressed pickles.

    A job takes some tens of bytes so, its paths as objects a kilobyte. It is made to be read in
    order: an item by its number unpacks its chunk, of which the last one read is kept. Equal items
    are given, not the same.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._chunks: list[bytes] = []
        self._last: list[Item] = []
        self._kept: tuple[int, list[Item]] = (-1, [])
        self.extend(items)

    def append(self, item: Item) -> None:
        """Add one item."""
        self._last.append(item)
        if len(self._last) == _CHUNK:
            self._chunks.append(zlib.compress(pickle.dumps(self._last), level=1))
            self._last = []

    def extend(self, items: Iterable[Item]) -> None:
        """Add some items."""
        for item in items:
            self.append(item)

    def __len__(self) -> int:
        """Count the items."""
        return len(self._chunks) * _CHUNK + len(self._last)

    def __iter__(self) -> Iterator[Item]:
        """Yield the items, of which one chunk at a time is unpacked."""
        number, items = 0, self._chunk(0)
        while items:
            yield from items  # of the last chunk what is added meanwhile, too
            number += 1
            items = self._chunk(number) if len(items) == _CHUNK else []

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        """Return the item of a number, or the items of some."""
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        number, place = divmod(range(len(self))[index], _CHUNK)
        if self._kept[0] != number or number == len(self._chunks):
            self._kept = (number, self._chunk(number))
        return self._kept[1][place]

    def __eq__(self, other: object) -> bool:
        """Tell whether another sequence has the same items."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(lambda a, b: a == b, self, other))

    __hash__ = None  # type: ignore[assignment] - as a list's: it changes

    def _chunk(self, number: int) -> list[Item]:
        if number >= len(self._chunks):
            return self._last
        return pickle.loads(zlib.decompress(self._chunks[number]))
