"""Typed reading of JSON objects: each error names the file, the field and what it should be."""

import re
import sys
from typing import Any

from drcnet_cli.errors import WeightsError
from drcnet_cli.text import is_control, shorten

_LONGEST_TEXT = 10_000
_LAYOUT = str.maketrans("", "", "\t\n")  # what texts may hold of all that is obeyed


class Fields:
    """One JSON object being read key by key; `end` refuses keys that nobody asked for."""

    def __init__(self, value: object, where: str) -> None:
        """Start reading `value`, called `where` in errors; WeightsError if it is no object."""
        self.where = where
        if not isinstance(value, dict):
            raise WeightsError(f"{where}: must be an object, not {shorten(value)}.")
        self._values: dict[str, Any] = value
        self._read: set[str] = set()

    def fail(self, key: str, expected: str) -> WeightsError:
        """Give (not raise) the error that `key` is not what was `expected`."""
        found = shorten(self._values[key]) if key in self._values else "missing"
        return WeightsError(f"{self.where}: {key} must be {expected}, but is {found}.")

    def raw(self, key: str) -> object:
        """Give the value of a required key, whatever its type."""
        self._read.add(key)
        if key not in self._values:
            raise self.fail(key, "present")
        return self._values[key]

    def text(self, key: str, pattern: str = r"(?s).*\S.*", expected: str = "text") -> str:
        """Give a string that matches `pattern` as a whole; by default any but a blank one.

        No text is longer than 10,000 characters or has control characters besides line ends.
        """
        value = self.raw(key)
        if (
            not isinstance(value, str)
            or len(value) > _LONGEST_TEXT
            or not re.fullmatch(pattern, value)
            or any(map(is_control, value.translate(_LAYOUT)))
        ):
            raise self.fail(key, expected)
        return value

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        """Give a string that is one of `choices`."""
        value = self.raw(key)
        if value not in choices:
            raise self.fail(key, "one of " + ", ".join(choices))
        return str(value)

    def integer(self, key: str, minimum: int, maximum: int = 2**53) -> int:
        """Give a whole number in minimum..maximum; true and false are none."""
        value = self.raw(key)
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise self.fail(key, f"a whole number of at least {minimum} and at most {maximum}")
        return value

    def number(self, key: str) -> float:
        """Give a finite number; true and false are none."""
        value = self.raw(key)
        # The limit is float's own: a longer whole number cannot be made one.
        if (
            not isinstance(value, (int, float))
            or isinstance(value, bool)
            or not abs(value) <= sys.float_info.max
        ):
            raise self.fail(key, "a number")
        return float(value)

    def flag(self, key: str) -> bool:
        """Give true or false."""
        value = self.raw(key)
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def integers(self, key: str) -> list[int]:
        """Give a list of whole numbers >= 0."""
        values = self.items(key)
        if any(not isinstance(item, int) or isinstance(item, bool) or item < 0 for item in values):
            raise self.fail(key, "a list of whole numbers")
        return [int(str(item)) for item in values]

    def items(self, key: str) -> list[object]:
        """Give a list, its items unread."""
        value = self.raw(key)
        if not isinstance(value, list):
            raise self.fail(key, "a list")
        return value

    def is_null(self, key: str) -> bool:
        """Tell whether a required key holds null."""
        return self.raw(key) is None

    def end(self) -> None:
        """Raise WeightsError if there is a key that was not read: most likely a typing slip."""
        if unknown := sorted(set(self._values) - self._read):
            raise WeightsError(
                f"{self.where}: unknown field {', '.join(map(shorten, unknown[:5]))}."
            )
