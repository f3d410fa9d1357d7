"""How work tells how far it has come, and is handed out: one kind of each in the whole package."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

# Called whenever a part is done, with the number of parts done, such as pictures, and of all.
Progress: TypeAlias = Callable[[int, int], None]

# Calls a function of each item of a list and gives the results in their order, as `map` does.
Mapper: TypeAlias = Callable[[Callable[[Any], Any], Any], Iterable[Any]]


def no_progress(done: int, total: int) -> None:
    """Drop the numbers: for work that nobody follows."""
