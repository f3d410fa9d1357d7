"""How work tells how far it has come: one kind of callback in the whole package."""

from collections.abc import Callable
from typing import TypeAlias

# Called whenever a part is done, with the number of parts done, such as pictures, and of all.
Progress: TypeAlias = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Drop the numbers: for work that nobody follows."""
