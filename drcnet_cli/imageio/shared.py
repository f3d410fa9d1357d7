"""A process-wide setting of another library, changed only while our threads need it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class SharedSetting:
    """Change a setting when the first thread enters; put it back when the last one leaves.

    Code of others that runs in the meantime meets our value, which no per-call option could avoid.
    """

    def __init__(self, get: Callable[[], Any], put: Callable[[Any], Any], value: object) -> None:
        self._get, self._put, self._value = get, put, value
        self._lock = threading.Lock()
        self._inside = 0
        self._before: object = None

    @contextmanager
    def changed(self) -> Iterator[None]:
        """Hold the setting at our value for as long as the block lasts."""
        with self._lock:
            if self._inside == 0:
                self._before = self._get()
                self._put(self._value)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._put(self._before)
