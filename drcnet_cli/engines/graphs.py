"""CUDA graphs: what a network does to a batch of one shape, recorded once and replayed as a whole.

Small networks leave a GPU waiting for the host, which starts hundreds of short kernels a batch; a
graph is started at once. Never run on a GPU so far.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Forward = Callable[[Tensor], Tensor]
Record = Callable[[Forward, Tensor], Forward]

OFTEN = 2  # times that a shape comes before it is recorded: a last, smaller batch may not return
MOST = 4  # shapes that are kept: what they compute in is shared, but lost to everything else


class RecordedShapes:
    """Runs `run`; shapes (N x C x H x W) that come again are recorded and replayed.

    `record` makes a replay of `run` for a batch like the one it gets. Where it cannot, a shape is
    computed as before: the network decides by values that it must wait for, or memory is short
    (RuntimeError).
    """

    def __init__(self, run: Forward, record: Record) -> None:
        self._run = run
        self._record = record
        self._times: Counter[tuple[int, ...]] = Counter()
        self._replays: dict[tuple[int, ...], Forward] = {}

    @torch.inference_mode()
    def __call__(self, batch: Tensor) -> Tensor:
        """Return what `run` returns."""
        shape = tuple(batch.shape)
        self._times[shape] += 1
        if self._times[shape] == OFTEN:
            self._try_to_record(shape, batch)
        return self._replays.get(shape, self._run)(batch)

    def _try_to_record(self, shape: tuple[int, ...], batch: Tensor) -> None:
        if len(self._replays) == MOST:
            oldest = next(iter(self._replays))
            del self._replays[oldest], self._times[oldest]
        try:
            self._replays[shape] = self._record(self._run, batch)
        except RuntimeError:  # CUDA's errors, and those of memory, are such
            return


def cuda_recorder(device: torch.device) -> Record:
    """Return what records on a CUDA device; recordings share memory: one runs at a time."""
    pool = torch.cuda.graph_pool_handle()

    def record(run: Forward, batch: Tensor) -> Forward:
        given = batch.clone()
        # A recording that fails half-way is dear: first it is seen whether the network waits.
        with _waiting_refused():
            run(given)
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(device),
            torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"),
        ):
            made = run(given)

        def replay(batch: Tensor) -> Tensor:
            given.copy_(batch)
            graph.replay()
            return made.clone()  # the next replay writes over it

        return replay

    return record


@contextmanager
def _waiting_refused() -> Iterator[None]:
    """Raise RuntimeError where the host would wait for the device."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
