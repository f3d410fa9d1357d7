"""DeviceBlender: does what `RowBlender` does, on the device that the tiles are on."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from drcnet_cli.engines.queues import DeviceQueue, Late
from drcnet_cli.restore.tiling import TilePlan


class DeviceBlender:
    """Add restored tiles in plan order; get finished rows, a row of tiles later, and at the end.

    `emit(top, rows)` is called as `RowBlender`'s is. A band one tile high is held on the device,
    and the rows of two at most are on their way.
    """

    def __init__(
        self,
        plan: TilePlan,
        emit: Callable[[int, np.ndarray], None],
        queue: DeviceQueue,
        channels: int = 3,
    ) -> None:
        self._plan = plan
        self._emit = emit
        self._queue = queue
        self._added = 0
        self._top = 0  # the image row of the band's first row
        self._late: list[tuple[int, Late]] = []
        down, across = np.stack(plan.row_weights), np.stack(plan.column_weights)
        self._down, self._across = (queue.send(torch.from_numpy(each)) for each in (down, across))
        width = plan.lefts[-1] + plan.tile_width
        self._band = torch.zeros(channels, plan.tile_height, width, device=queue.device)

    @torch.inference_mode()
    def add(self, tiles: Tensor) -> None:
        """Add the next tiles in plan order, on the device: B x channels x h x w."""
        plan = self._plan
        for tile in tiles:
            row, column = divmod(self._added, len(plan.lefts))
            left = plan.lefts[column]
            weight = self._down[row][:, None] * self._across[column]
            self._band[:, :, left : left + plan.tile_width] += tile * weight
            self._added += 1
            if column + 1 == len(plan.lefts):
                last = row + 1 == len(plan.tops)
                self._flush(plan.height if last else plan.tops[row + 1])

    def close(self) -> None:
        """Emit what is still on its way."""
        while self._late:
            top, rows = self._late.pop(0)
            self._emit(top, rows().numpy())

    def _flush(self, bottom: int) -> None:
        """Send the rows above `bottom` on their way, and move the band down to start there."""
        count = bottom - self._top
        rows = self._band[:, :count, : self._plan.width].clone(
            memory_format=torch.contiguous_format
        )
        self.close()  # what was sent a row of tiles ago, while the device goes on
        self._late.append((self._top, self._queue.fetch(rows)))
        kept = self._band.shape[1] - count
        self._band[:, :kept] = self._band[:, count:].clone()
        self._band[:, kept:] = 0
        self._top = bottom
