"""Ctrl-C and a polite kill end a run at the next whole step, so that it can be saved first."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interruption:
    """Within its block SIGINT and SIGTERM only set `wanted`; a second one acts as usual."""

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        """Take the signals over, where this is the main thread, which alone may."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        self._give_back()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.wanted = True
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
