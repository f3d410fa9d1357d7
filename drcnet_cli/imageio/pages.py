"""Which pictures of a file are meant: `1,3-5`, counted from 1."""

from dataclasses import dataclass

from drcnet_cli.errors import ImageError, UsageError

_HOW = "Use numbers from 1 and ranges, as 1,3-5 or 7-"


@dataclass(frozen=True)
class Pages:
    """Some of a file's pictures, as they were asked for: `ranges` of first and last, from 1.

    The last is None where it is the file's.
    """

    text: str
    ranges: tuple[tuple[int, int | None], ...]

    @property
    def first(self) -> int:
        """The lowest number."""
        return min(first for first, _ in self.ranges)

    def choose(self, count: int, noun: str = "picture") -> list[int]:
        """Return the numbers, in the file's order and each once, of a file of `count`.

        Raises ImageError, its file still to be named, for numbers beyond them.
        """
        highest = max(max(first, last or first) for first, last in self.ranges)
        if highest > count:
            has = f"has one {noun}" if count == 1 else f"has {count} {noun}s"
            raise ImageError(
                f"{has}, and --pages {self.text} asks for number {highest}.",
                "Leave out --pages, or ask for number 1"
                if count == 1
                else f"Ask for numbers from 1 to {count}",
            )
        chosen: set[int] = set()
        for first, last in self.ranges:
            chosen.update(range(first, (last or count) + 1))
        return sorted(chosen)


def parse_pages(text: str) -> Pages:
    """Read numbers and ranges: `1,3-5`, `7-`; raises UsageError for what is none."""
    return Pages(text, tuple(_range(part.strip(), text) for part in text.split(",")))


def _range(part: str, text: str) -> tuple[int, int | None]:
    first, dash, last = (piece.strip() for piece in part.partition("-"))
    numbers = [piece for piece in (first, last) if piece]
    if not first or not all(piece.isascii() and piece.isdigit() for piece in numbers):
        raise UsageError(f"--pages cannot be {text!r}.", _HOW)
    start = int(first)
    end = None if dash and not last else int(last or first)
    if start < 1:
        raise UsageError(f"--pages cannot be {text!r}: pictures are counted from 1.", _HOW)
    if end is not None and end < start:
        raise UsageError(f"--pages cannot be {text!r}: {part} ends before it begins.", _HOW)
    return start, end
