"""What a run takes over of its process while it lasts: Ctrl-C, and the threads of the CPU."""

import copy
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch

from drcnet_cli import settings
from drcnet_cli.train.setup import Run

_GAIN = 0.9  # fewer threads must take less than this share of the time
_IMAGES = 2


class Interruption:
    """Within its block SIGINT and SIGTERM only set `wanted`; a second one acts as usual.

    So a run ends at the next whole step, and is saved first.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        """Take the signals over, where this is the main thread, which alone may."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Let the signals act as before."""
        self._give_back()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.wanted = True
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


class Threads:
    """Within its block torch's number of threads may be fitted; afterwards it is as before.

    All cores are best on an idle machine. On a busy one the threads of a convolution's backward
    pass, which wait for each other by spinning, hold each other up whenever one has to share its
    core: there one thread can be ten times as fast as two.
    """

    def __enter__(self) -> "Threads":
        """Remember the number."""
        self._most = torch.get_num_threads()
        return self

    def __exit__(self, *_: object) -> None:
        """Set the number again."""
        torch.set_num_threads(self._most)

    def fit(self, parts: Run, patch: int) -> None:
        """Choose the number for patches of this side, if the CPU computes; the environment's stays.

        It is tried on a copy: the network keeps its gradients and its running statistics.
        """
        if parts.device.type != "cpu" or settings.threads_given():
            return
        probe = copy.deepcopy(parts.network)
        images = torch.rand(_IMAGES, 3, patch, patch)
        if parts.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)

        def step() -> None:
            with torch.autocast("cpu", parts.dtype, enabled=parts.dtype is not torch.float32):
                image = probe(images)
            image.sum().backward()

        torch.set_num_threads(fastest_threads(step, self._most))


def fastest_threads(
    work: Callable[[], None], most: int, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Return the number of threads, `most` or halves of it, from which on fewer are not faster."""

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        work()  # the first time with so many threads is slower
        started = clock()
        work()
        return clock() - started

    best, least = most, seconds(most)
    while best > 1 and (took := seconds(best // 2)) < _GAIN * least:
        best, least = best // 2, took
    return best
