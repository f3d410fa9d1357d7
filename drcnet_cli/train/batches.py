"""Batches of samples by number, computed by worker processes ahead of time."""

import os
import signal
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from drcnet_cli.data.sampling import Source
from drcnet_cli.errors import DrcnetError

Request = tuple[int, int]  # sample number, patch side

# Batches that lie ready, in all and for each worker: a picture that must be decoded, or a slow
# blur, is made up for while they are used.
_AHEAD, _AHEAD_EACH = 4, 2


class _Samples(Dataset[Tensor | DrcnetError]):
    """Samples by request: degraded over clean, 2 x 3 x patch x patch."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, request: Request) -> Tensor | DrcnetError:
        try:
            return torch.from_numpy(np.stack(self._source.sample(*request)))
        except DrcnetError as error:
            # Raised in a worker, it would come out with a page of traceback for a message.
            return error


def requests(
    first: int, patch: int, batch: int, process: int, processes: int
) -> Iterator[list[Request]]:
    """Give this process's batches for ever, from sample number `first` on.

    Of each `processes * batch` samples in a row, this process takes the `batch` that are its own.
    """
    start = first + process * batch
    while True:
        yield [(number, patch) for number in range(start, start + batch)]
        start += processes * batch


def default_workers(processes_here: int) -> int:
    """Give the number of worker processes: a core is left to each training process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(16, (cores or 2) // processes_here - 1))


def load_batches(
    source: Source, stream: Iterator[list[Request]], workers: int, *, pin: bool
) -> Iterator[Tensor]:
    """Give the stream's batches, 2 x N x 3 x patch x patch each: degraded, then clean.

    Errors of the source come out here as what they are. With 0 workers all is computed in the
    calling process.
    """
    loader = DataLoader(
        _Samples(source),
        batch_sampler=stream,  # pyright: ignore[reportArgumentType] - an endless sampler has no len
        num_workers=workers,
        prefetch_factor=max(_AHEAD_EACH, _AHEAD // workers) if workers else None,
        collate_fn=_collate,
        pin_memory=pin,
        worker_init_fn=_start_worker,
    )
    for batch in loader:
        if isinstance(batch, DrcnetError):
            raise batch
        yield batch


def _collate(samples: list[Tensor | DrcnetError]) -> Tensor | DrcnetError:
    tensors = []
    for sample in samples:
        if isinstance(sample, DrcnetError):
            return sample
        tensors.append(sample)
    return torch.stack(tensors, dim=1)


def _start_worker(_number: int) -> None:
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
