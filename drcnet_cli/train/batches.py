"""Batches of samples by number, computed by worker processes ahead of time."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from drcnet_cli.device import usable_cores
from drcnet_cli.errors import DrcnetError
from drcnet_cli.train.samples import SampleSource

Request = tuple[int, int]  # sample number, patch side

# Batches that lie ready, in all and for each worker: a picture that must be decoded, or a slow
# blur, is made up for while they are used.
_AHEAD, _AHEAD_EACH = 4, 2

_MORE_MEMORY = (
    "Give it more, such as of /dev/shm with docker run --shm-size 2g; or less to do: fewer "
    "--workers (0 need no shared memory) or smaller --patches"
)


class _Samples(Dataset[Tensor | DrcnetError]):
    """Samples by request: degraded over clean, 2 x 3 x patch x patch; or something else below."""

    def __init__(
        self, source: SampleSource, other_crops: bool, mask_threshold: float | None
    ) -> None:
        self._sample: Callable[[int, int], Sequence[NDArray[np.float32]]] = source.sample
        if other_crops:
            self._sample = source.two_crops
        elif mask_threshold is not None:
            self._sample = partial(source.masked, threshold=mask_threshold)

    def __getitem__(self, request: Request) -> Tensor | DrcnetError:
        try:
            return torch.from_numpy(np.stack(self._sample(*request)))
        except DrcnetError as error:
            # Raised in a worker, it would come out with a page of traceback for a message.
            return error


def requests(
    first: int, patch: int, batch: int, process: int, processes: int
) -> Iterator[list[Request]]:
    """Return this process's batches for ever, from sample number `first` on.

    Of each `processes * batch` samples in a row, this process takes the `batch` that are its own.
    """
    start = first + process * batch
    while True:
        yield [(number, patch) for number in range(start, start + batch)]
        start += processes * batch


def default_workers(processes_here: int) -> int:
    """Return the number of worker processes: a core is left to each training process."""
    return max(1, min(16, usable_cores() // processes_here - 1))


def load_batches(
    source: SampleSource,
    stream: Iterator[list[Request]],
    workers: int,
    *,
    pin: bool,
    other_crops: bool = False,
    mask_threshold: float | None = None,
) -> Iterator[Tensor]:
    """Return the stream's batches, 2 x N x 3 x patch x patch each: degraded, then clean.

    With `other_crops` they are 3 x N ...: last, another crop of each degraded picture; with a
    `mask_threshold`, masks of the damage (see `SampleSource.masked`). Errors of the source come out
    here as what they are. With 0 workers all is computed in the calling process.
    """
    loader = DataLoader(
        _Samples(source, other_crops, mask_threshold),
        batch_sampler=stream,  # pyright: ignore[reportArgumentType] - an endless sampler has no len
        num_workers=workers,
        prefetch_factor=max(_AHEAD_EACH, _AHEAD // workers) if workers else None,
        collate_fn=_collate,
        pin_memory=pin,
        worker_init_fn=_start_worker,
    )
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except RuntimeError as error:
            if "worker" not in str(error):
                raise
            raise DrcnetError(
                "A process that loads training data was killed, most likely for want of memory.",
                _MORE_MEMORY,
            ) from error
        if isinstance(batch, DrcnetError):
            raise batch
        yield batch


def _collate(samples: list[Tensor | DrcnetError]) -> Tensor | DrcnetError:
    tensors = []
    for sample in samples:
        if isinstance(sample, DrcnetError):
            return sample
        tensors.append(sample)
    batch = torch.stack(tensors, dim=1)
    if get_worker_info() is None:
        return batch
    try:
        # The loader would do this in a thread whose errors nobody hears of: it would wait for ever.
        return batch.share_memory_()
    except RuntimeError as error:
        return DrcnetError(f"A batch finds no shared memory ({error}).", _MORE_MEMORY)


def _start_worker(_number: int) -> None:
    _leave_if_orphaned()
    # One process a core already: OpenCV's own threads would only get in their way.
    cv2.setNumThreads(0)
    # Where no core is left for them, workers should fill the gaps of the computing threads, which
    # wait for each other, and never hold one of them up.
    if hasattr(os, "nice"):
        os.nice(10)
    # A Ctrl-C reaches the whole process group, but the training process decides when to end; and
    # its own handlers, inherited by a fork, are not for here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave_if_orphaned() -> None:
    """End a worker whose parent was killed before it began.

    torch's worker looks from time to time whether its parent is still the one that it began with;
    one that was adopted before would wait for batches for ever, and keep all that it inherited.
    """
    parent = multiprocessing.parent_process()
    # Under other methods, the parent need not be the process that asked for the worker.
    forked = multiprocessing.get_start_method() == "fork"
    if forked and parent is not None and os.getppid() != parent.pid:
        os._exit(1)
