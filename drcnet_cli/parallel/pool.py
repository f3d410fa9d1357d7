"""Plain work on many pictures, where no network computes: in this process, or in several."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

import cv2

from drcnet_cli.errors import DrcnetError
from drcnet_cli.progress import Mapper
from drcnet_cli.settings import given_threads

Item = TypeVar("Item")
Result = TypeVar("Result")


def runner(jobs: str | None) -> Mapper:
    """Return what calls a function of each item, in as many processes as --jobs says.

    Results come in the items' order; whoever stops asking for them ends the work. The function and
    the items go to other processes, so that they must be picklable. `--threads` is shared among
    the processes. Raises UsageError, once it is called, for what is no number.
    """

    def run(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        if jobs is not None:
            from drcnet_cli.parallel.jobs import count_processes  # which loads torch

            if (count := count_processes(jobs, len(items))) > 1:
                return _in_processes(function, items, count)
        if (threads := given_threads()) is not None:
            cv2.setNumThreads(threads)
        return map(function, items)

    return run


def _in_processes(
    function: Callable[[Any], Result], items: Sequence[Any], count: int
) -> Iterator[Result]:
    threads = max(1, (given_threads() or cv2.getNumThreads()) // count)
    context = get_context("spawn")
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(threads,))
    try:
        yield from pool.map(function, items)
    except BrokenProcessPool as error:
        raise DrcnetError(
            "A process ended in the middle of its work, perhaps for want of memory.",
            "Use fewer of them with --jobs",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(threads: int) -> None:
    """Begin a process: an interruption is its parent's to handle, and without it there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(threads)
    if (parent := parent_process()) is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        Thread(target=follow, daemon=True).start()
