"""A file as bytes of which only what is asked for is read."""

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

# Listing a file's pictures takes 200 bytes each, those of a hostile file must end somewhere.
MOST_PICTURES = 2**20
TOO_MANY = f"more than {MOST_PICTURES} pictures are not read"


class FileBytes:
    """The bytes of a binary file that can seek; slices are read when they are taken.

    For one thread at a time.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, 2)

    def __len__(self) -> int:
        """Bytes."""
        return self._size

    def __getitem__(self, where: slice) -> bytes:
        """Read bytes; fewer than asked for where the file ends."""
        start, stop, _ = where.indices(self._size)
        self._file.seek(start)
        return self._file.read(max(0, stop - start))

    def unpack(self, layout: str, at: int) -> tuple[Any, ...]:
        """Read what a `struct` layout says; raises struct.error where the file ends before."""
        return struct.unpack(layout, self[at : at + struct.calcsize(layout)])

    def read(self, start: int, end: int) -> bytes:
        """Read all of a part; raises ValueError where the file ends before."""
        found = self[start:end]
        if len(found) < end - start:
            raise ValueError("the file ends before its pixels do")
        return found


def sub_blocks(data: FileBytes, at: int) -> Iterator[tuple[int, int]]:
    """Tell start and end of the contents of GIF's sub-blocks from `at` on, the empty last one too.

    Raises struct.error where the file ends before.
    """
    size = 1
    while size:
        (size,) = data.unpack("B", at)
        yield at + 1, at + 1 + size
        at += 1 + size
