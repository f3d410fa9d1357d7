"""TileRunner: the tiles of a picture in batches, as many at once as the device's memory allows.

Where a device works beside the host, the next batch is begun before one is completed.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from drcnet_cli.device import free_memory, is_out_of_memory
from drcnet_cli.engines.queues import DeviceQueue
from drcnet_cli.errors import MemoryExhaustedError
from drcnet_cli.restore.device_blender import DeviceBlender
from drcnet_cli.restore.tiling import (
    MULTIPLE,
    OVERLAP_SHARE,
    SMALLEST_TILE,
    RowBlender,
    TilePlan,
    cut_tile,
    plan_tiles,
)

Complete = Callable[[], Tensor]
Read = Callable[[int, int], np.ndarray]
Emit = Callable[[int, np.ndarray], None]
T = TypeVar("T")

# Peak of live features, in full-resolution float32 maps (`map_channels`); measured, rounded up.
LIVE_MAPS = 16
# More pixels in a batch stop paying (`drcnet benchmark` times both); a GPU has more to fill.
BATCH_PIXELS = {"cpu": 2**17, "mps": 2**20, "cuda": 2**22}


class TileRunner:
    """Runs tiles through a network and blends them.

    `begin` gets B x C x h x w of the host, starts to compute and returns what completes that: the
    same shape on the device. `map_channels`: of the network. `batch`: tiles at once; None: what
    pays and fits the memory. `release` frees memory where it ran out.
    """

    def __init__(
        self,
        begin: Callable[[Tensor], Complete],
        queue: DeviceQueue,
        *,
        map_channels: int,
        batch: int | None,
        release: Callable[[], None],
        notify: Callable[[str], None],
    ) -> None:
        self._begin = begin
        self._queue = queue
        self._map_channels = map_channels
        self._wanted_batch = batch
        self._batch_limit: int | None = None  # set when memory ran out
        self._inner_tile: int | None = None  # set when a single tile did not fit
        self._release = release
        self._notify = notify

    def run(self, plan: TilePlan, read: Read, emit: Emit, channels: int = 3) -> Iterator[int]:
        """Restore every tile of the plan; yield the number of tiles that each step finished.

        `read(top, left)` gives a tile, `emit` gets rows of so many channels as from `RowBlender`.
        """
        if self._queue.overlaps:
            blender = DeviceBlender(plan, emit, self._queue, channels)
            for restored in self._restored(self._batches(plan, read)):
                blender.add(restored)
                yield len(restored)
            blender.close()
            return
        rows = RowBlender(plan, emit, channels)
        for restored in self._restored(self._batches(plan, read)):
            for tile in restored.cpu().numpy():
                rows.add(tile)
            yield len(restored)

    def restored(self, tiles: np.ndarray) -> Iterator[Tensor]:
        """Yield B x C x h x w restored, in one or several parts."""
        return self._restored([torch.from_numpy(np.ascontiguousarray(tiles))])

    def batch_for(self, tile_height: int, tile_width: int) -> int:
        """Return the tiles per batch: what was asked for, or what pays and fits the free memory."""
        pixels = max(1, tile_height * tile_width)
        batch = self._wanted_batch
        device = self._queue.device
        if batch is None:
            per_tile = pixels * self._map_channels * 4 * LIVE_MAPS
            fits = int(0.7 * free_memory(device) / per_tile)
            batch = max(1, min(fits, BATCH_PIXELS.get(device.type, 2**18) // pixels))
        return min(batch, self._batch_limit or batch)

    def _batches(self, plan: TilePlan, read: Read) -> Iterator[Tensor]:
        places = iter(plan)
        while chunk := list(islice(places, self.batch_for(plan.tile_height, plan.tile_width))):
            tiles = [read(*place) for place in chunk]
            batch = self._queue.host((len(tiles), *tiles[0].shape))
            np.stack(tiles, out=batch.numpy())
            yield batch

    def _restored(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield restored tiles in order; of smaller batches, then tiles, where memory runs out."""
        begun: list[tuple[Tensor, Complete]] = []
        for tiles in batches:
            while len(tiles):
                parts = self._is_too_large(tiles)
                chunk = tiles[: 1 if parts else self._batch_limit or len(tiles)]
                if parts:
                    complete = self._by_parts(chunk)
                else:
                    complete = self._attempt(partial(self._begin, chunk))
                if complete is None:
                    self._back_off(chunk)
                    continue
                begun.append((chunk, complete))
                tiles = tiles[len(chunk) :]
                while len(begun) > self._queue.overlaps:
                    yield from self._completed(*begun.pop(0))
        for each in begun:
            yield from self._completed(*each)

    def _completed(self, chunk: Tensor, complete: Complete) -> Iterator[Tensor]:
        restored = self._attempt(complete)
        if restored is not None:
            yield restored
            return
        if not self._is_outdated(chunk):
            self._back_off(chunk)
        yield from self._restored([chunk])

    def _is_outdated(self, chunk: Tensor) -> bool:
        """Tell whether a chunk was begun before memory ran out elsewhere: it would be less now."""
        return len(chunk) > (self._batch_limit or len(chunk)) or self._is_too_large(chunk)

    def _is_too_large(self, tiles: Tensor) -> bool:
        return self._inner_tile is not None and self._inner_tile < max(tiles.shape[2:])

    def _attempt(self, step: Callable[[], T]) -> T | None:
        """Return what a step returns; None where memory ran out."""
        try:
            return step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the except block: the error's traceback would keep the failed tensors alive.
        return None

    def _back_off(self, chunk: Tensor) -> None:
        """Halve the batch; when it is one, halve the tile. Raise when nothing is left to halve."""
        self._release()
        if len(chunk) > 1:
            self._batch_limit = len(chunk) // 2
            self._notify(f"Memory ran out: going on with batches of {self._batch_limit}.")
            return
        side = max(chunk.shape[2:])
        smaller = max(SMALLEST_TILE, side // (2 * MULTIPLE) * MULTIPLE)
        if smaller >= side:
            raise MemoryExhaustedError(
                f"Not even a tile of {side} pixels fits the memory of {self._queue.device}.",
                "Use --device cpu, or a smaller model with --model",
            )
        self._inner_tile = smaller
        self._notify(f"Memory ran out: going on with tiles of {smaller} pixels.")

    def _by_parts(self, chunk: Tensor) -> Complete:
        """Restore one 1 x C x h x w tile that does not fit the memory from smaller tiles."""
        assert self._inner_tile is not None
        tile, restored = chunk[0].numpy(), self._queue.host(chunk.shape)
        rows_of = restored[0].numpy()
        overlap = self._inner_tile // OVERLAP_SHARE
        plan = plan_tiles(tile.shape[1], tile.shape[2], self._inner_tile, overlap)

        def keep(top: int, rows: np.ndarray) -> None:
            rows_of[:, top : top + rows.shape[1]] = rows

        for _ in self.run(plan, partial(cut_tile, plan, tile), keep, len(tile)):
            pass
        return lambda: self._queue.send(restored)
