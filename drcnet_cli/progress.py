"""How work tells how far it has come: one kind of callback in the whole package."""

from typing import Protocol


class Progress(Protocol):
    """Called each time that a part of the work is done."""

    def __call__(self, done: int, total: int, /) -> None:
        """Take the number of parts done, such as pictures, and of all."""
        ...


def no_progress(done: int, total: int, /) -> None:
    """Drop the numbers: for work that nobody watches."""
