"""Restorer: runs the network over the tiles of one image, in the number type that suits it.

Only tiles touch the device; pixels stay in the type they were read in, converted a tile at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from drcnet_cli.device import dtype_name, release_memory
from drcnet_cli.engines import Engine
from drcnet_cli.engines.graphs import RecordedShapes, cuda_recorder
from drcnet_cli.engines.queues import Late, queue_for
from drcnet_cli.errors import NonFiniteError, UsageError
from drcnet_cli.imageio import from_unit, is_gray, to_planes
from drcnet_cli.imageio.pixels import to_unit
from drcnet_cli.networks import NETWORKS
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.restore.flat import keep_flat
from drcnet_cli.restore.mixing import blend, check_strength, keep_luma
from drcnet_cli.restore.small_copy import carry_over, enlarged, faded, reduced
from drcnet_cli.restore.tile_runner import TileRunner
from drcnet_cli.restore.tiling import TileOptions, TilePlan, pad_tile
from drcnet_cli.tasks import TASKS

# bfloat16 results of the bundled checkpoints lie 55 to 65 dB from float32's, which costs 0.00 to
# 0.02 dB on every set measured (benchmarks/README.md); a checkpoint below this is not suited to it.
BFLOAT16_MIN_PSNR = 54.0
CHECKED_SIDE = 96  # pixels of a tile's corner that tell; more would only lengthen the start
# What a picture's values can be, measured over photographs, clean and with noise of sigma 50: -1.0
# to 2.0. Blocks multiply features that were normalised by the spread of their whole map: in a tile
# that is even but for one odd pixel (a star in a black sky) that pixel stands a hundred deviations
# out at each level, and the products reach 10^25: noise, once clipped.
LOWEST, HIGHEST = -4.0, 5.0


@dataclass(frozen=True)
class RestorerFacts:
    """What restores, as people are told; `task` None: its checkpoint does not say."""

    name: str
    task: str | None
    device: str
    description: str
    dtype: str


class Restorer:
    """Restores images with one network on one device.

    `dtype`: the autocast type; with `check_dtype` the first tile is also computed in float32, and
    float32 is used throughout if the two differ visibly. `ensemble` averages each tile and its
    mirror images. `strength`: the share of the network's result, the rest is the input's;
    `keep_grain`: that of the luma that comes back of what the network takes away. `engine` computes
    instead of torch, on the CPU. `notify` gets one sentence, once, for each change of plan. Raises
    UsageError for a tiling or a strength that cannot be used.
    """

    def __init__(
        self,
        network: nn.Module,
        info: CheckpointInfo,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        check_dtype: bool = False,
        tiling: TileOptions | None = None,
        ensemble: bool = False,
        strength: float = 1.0,
        keep_grain: float = 0.0,
        engine: Engine | None = None,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        tiling = tiling or TileOptions()
        self.rule = tiling.settle(info)
        self.network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.info = info
        self.device = device
        self.dtype = dtype
        self.ensemble = ensemble
        self.strength, self.keep_grain = check_strength(strength), keep_grain
        self._engine = engine
        self._queue = queue_for(device)
        self._forms: dict[torch.dtype, Callable[[Tensor], Tensor]] = {}
        self._record = cuda_recorder(device) if device.type == "cuda" else None
        form = info.architecture.fast_cpu if device.type == "cpu" else None
        self._fast_cpu = form if info.architecture.is_own(network) else None
        self._tiles = TileRunner(
            self._begin,
            self._queue,
            map_channels=info.config.map_channels,
            batch=tiling.batch,
            release=self._release,
            notify=notify,
        )
        self._unchecked = check_dtype and dtype != torch.float32
        self._overflowed = False  # and said so
        self.tiles_left = 0  # of the last picture, as they were
        self._masking, self._told = False, False  # a fourth channel is the mask; and it is given
        self._notify = notify

    def describe(self) -> str:
        """Say which tile, overlap, batch, device and type are used, in one line."""
        more = f", backend {self._engine.name}" if self._engine else ""
        more += ", x4 ensemble" if self.ensemble else ""
        more += f", strength {self.strength:g}" if self.strength != 1 else ""
        more += f", keep grain {self.keep_grain:g}" if self.keep_grain else ""
        dtype = dtype_name(self.dtype)
        return f"{self.describe_tiles()}, device {self.device}, dtype {dtype}{more}"

    def describe_tiles(self) -> str:
        """Say how images are cut, and how many tiles are computed at once."""
        tile = self.rule.largest
        batch = f", batch {self.batch_for(tile, tile)}" if tile else ""
        return f"{self.rule.describe()}{batch}"

    def facts(self) -> RestorerFacts:
        """Tell what restores, as it is by now: the number type may still change."""
        dtype, description = dtype_name(self.dtype), self.describe()
        return RestorerFacts(self.info.name, self.info.task, str(self.device), description, dtype)

    def remark(self) -> str:
        """Say what is amiss with the last picture; empty if nothing is."""
        if not self.tiles_left:
            return ""
        what = "1 tile was" if self.tiles_left == 1 else f"{self.tiles_left} tiles were"
        return f"{what} left as in the input: the network makes no picture of it"

    def damage(self) -> dict[str, Any] | None:
        """Return what seemed to be wrong with the last picture, for JSON; None: nobody looked."""
        return None

    def begin_series(self) -> None:
        """Hear that the pictures which follow show one scene."""

    def end_series(self) -> None:
        """Hear that they were all."""

    def restore_with_mask(
        self,
        pixels: np.ndarray,
        mask: np.ndarray | None = None,
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Restore as `restore` does; return where the damage is, H x W x 1 uint8, too.

        255 is certain damage. `mask`, of that kind, is taken for it; None: the network looks for
        it, which it must be able to (`check_finds_damage`).
        """
        self._masking, self._told = True, mask is not None
        found = np.zeros((*pixels.shape[:2], 1), np.uint8) if mask is None else mask
        try:
            return self._restore(pixels, on_progress, found), found
        finally:
            self._masking = self._told = False

    def restore(
        self, pixels: np.ndarray, on_progress: Callable[[float], None] = lambda _: None
    ) -> np.ndarray:
        """Restore H x W x 1 or 3 pixels (uint8, uint16 or float32): same shape and type back.

        Three channels that are equal everywhere stay so, and so do surfaces of one exact value
        where the task has nothing to remove from them. `on_progress` gets the share of the image
        that each batch of tiles completes. `tiles_left` counts those that the network made no
        picture of: they stay as they were. Raises MemoryExhaustedError, NonFiniteError.
        """
        if self.strength == 0:
            self.tiles_left = 0
            on_progress(1.0)
            return pixels.copy()
        return self._restore(pixels, on_progress, None)

    def _restore(
        self,
        pixels: np.ndarray,
        on_progress: Callable[[float], None],
        mask: np.ndarray | None,
    ) -> np.ndarray:
        """Restore pixels; a mask (H x W x 1 uint8) is what is told, or gets what is found."""
        if pixels.shape[2] == 3 and is_gray(pixels):
            # Gray stays gray by construction, whatever tint a network would give it.
            gray = self._restore(np.ascontiguousarray(pixels[..., :1]), on_progress, mask)
            return np.repeat(gray, 3, axis=2)
        by = self._restore_by_copy if self.rule.small_side else self._restore_by_tiles
        return by(pixels, on_progress, mask)

    def _restore_by_tiles(
        self,
        pixels: np.ndarray,
        on_progress: Callable[[float], None],
        mask: np.ndarray | None,
    ) -> np.ndarray:
        """Restore as `_restore` does, what the network sees being the pixels themselves."""
        self.tiles_left = 0
        plan = self.rule.plan(*pixels.shape[:2])
        restored = np.empty_like(pixels)

        def keep(top: int, rows: np.ndarray) -> None:
            target = restored[top : top + rows.shape[1]]
            target[...] = from_unit(rows[:3], like=target)
            if mask is not None and not self._told:
                mask[top : top + rows.shape[1], :, 0] = np.rint(rows[3] * 255)

        def read(top: int, left: int) -> np.ndarray:
            tile = _read_tile(plan, pixels, top, left)
            if mask is None:
                return tile
            return np.concatenate([tile, _read_tile(plan, mask, top, left)[:1]])

        for done in self._tiles.run(plan, read, keep, 4 if self._masking else 3):
            on_progress(done / len(plan))
        if self.info.task in TASKS and TASKS[self.info.task].keeps_flat:
            keep_flat(restored, pixels)
        return restored

    def _restore_by_copy(
        self,
        pixels: np.ndarray,
        on_progress: Callable[[float], None],
        mask: np.ndarray | None,
    ) -> np.ndarray:
        """Restore as `_restore` does, what the network sees being a small copy."""
        if not self.rule.small_radius and max(pixels.shape[:2]) <= self.rule.small_side:
            return self._restore_by_tiles(pixels, on_progress, mask)
        before = self._copy(pixels)
        small_mask = None if mask is None else reduced(mask, self.rule.small_side)
        after = self._restore_by_tiles(before, on_progress, small_mask)
        changed = carry_over(pixels, before, after, self.rule.small_radius)
        if mask is None or small_mask is None:
            return changed
        if self._told:  # to the pixel, which what a copy's surroundings tell is not
            return blend(pixels, changed, faded(mask))
        mask[...] = enlarged(small_mask, *mask.shape[:2])
        return changed

    def _copy(self, pixels: np.ndarray) -> np.ndarray:
        """Return what the network gets to see of a picture, cut in tiles or not."""
        side = self.rule.small_side
        return to_unit(reduced(pixels, side)) if side else pixels

    @property
    def dtype_is_open(self) -> bool:
        """Whether the first tile still decides on the number type."""
        return self._unchecked

    def settle_dtype(self, pixels: np.ndarray) -> None:
        """Decide on the number type now, by this image's first tiles, if that is still open.

        For several processes that shall compute alike whichever images each of them gets.
        """
        if self._unchecked:
            pixels = self._copy(pixels)
            plan = self.rule.plan(*pixels.shape[:2])
            for _ in self._tiles.restored(_read_tile(plan, pixels, *next(iter(plan)))[None]):
                pass

    def batch_for(self, tile_height: int, tile_width: int) -> int:
        """Return the tiles per batch: what was asked for, or what pays and fits the free memory."""
        return self._tiles.batch_for(tile_height, tile_width)

    def _release(self) -> None:
        """Free what memory can be freed: what was recorded, and what torch keeps."""
        if self._record is not None:
            self._forms.clear()
        release_memory(self.device)

    def _begin(self, tiles: Tensor) -> Callable[[], Tensor]:
        """Start to run B x 3 x h x w of the host through the network; return what completes it."""
        batch = self._queue.send(tiles).contiguous(memory_format=torch.channels_last)
        if self._unchecked:
            self._check_dtype(batch[:1, :, :CHECKED_SIDE, :CHECKED_SIDE])
        with torch.inference_mode():
            restored = self._forward(batch, self.dtype)
            lost = self._queue.fetch(~are_pictures(restored))
        return partial(self._complete, batch, restored, lost)

    @torch.inference_mode()
    def _complete(self, batch: Tensor, restored: Tensor, found: Late) -> Tensor:
        """Return the batch restored, on the device: finite, clipped to [0, 1]."""
        lost = found()
        if lost.any():
            lost = lost.to(self.device)
            restored[lost] = self._redo_in_float32(batch[lost])
        restored.clamp_(0, 1)
        if self.keep_grain:
            restored[:, :3] = keep_luma(batch[:, :3], restored[:, :3], self.keep_grain)
        if self.strength != 1:
            mixed = batch[:, :3].lerp(restored[:, :3], self.strength).clamp_(0, 1)
            restored[:, :3] = mixed
        return restored

    def _redo_in_float32(self, batch: Tensor) -> Tensor:
        restored = self._forward(batch, torch.float32)
        lost = ~are_pictures(restored)
        if lost.any():
            # A sound network restores plain gray; with another nothing it gives can be trusted.
            if not are_pictures(self._forward(torch.full_like(batch[:1], 0.5), torch.float32)):
                raise NonFiniteError(
                    "The network gave values that are no picture's, in float32 too.",
                    "The checkpoint may be damaged: drcnet weights verify",
                )
            restored[lost] = batch[lost]
            self.tiles_left += int(lost.sum())
        elif not self._overflowed:
            self._overflowed = True
            self._notify(f"Tiles that overflow in {dtype_name(self.dtype)} are redone in float32.")
        return restored

    def _check_dtype(self, batch: Tensor) -> None:
        """Fall back to float32 if this checkpoint's reduced-precision result differs visibly."""
        with torch.inference_mode():
            reduced = self._forward(batch, self.dtype).clamp(0, 1)
            exact = self._forward(batch, torch.float32).clamp(0, 1)
        self._unchecked = False  # only now: where memory ran out above, a smaller tile is checked
        error = (reduced - exact)[:, :3].square().mean().item()
        if not error <= 10 ** (-BFLOAT16_MIN_PSNR / 10):  # NaN counts as different
            self._notify(f"{dtype_name(self.dtype)} is too coarse here: computing in float32.")
            self.dtype = torch.float32

    def _forward(self, batch: Tensor, dtype: torch.dtype) -> Tensor:
        if not self.ensemble:
            return self.compute(batch, dtype)
        # No quarter turns: rain from the side is none, and elsewhere they bring next to nothing
        # (benchmarks/ensemble.py).
        total = torch.zeros_like(batch)
        for axes in ((), (3,), (2,), (2, 3)):
            total += self.compute(batch.flip(axes), dtype).flip(axes)
        return total / 4

    def compute(self, batch: Tensor, dtype: torch.dtype) -> Tensor:
        """Run the network in this type, in its quickest form on the device."""
        if self._engine is not None:
            return self._engine(batch, dtype)
        if self._masking:
            return self._compute_plainly(batch, dtype)
        if dtype not in self._forms:
            self._forms[dtype] = self._form(dtype)
        return self._forms[dtype](batch)

    def _form(self, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """Make what computes in this type quickest."""
        if self._fast_cpu is not None:
            return self._fast_cpu(self.network, dtype)
        plain = partial(self._compute_plainly, dtype=dtype)
        return plain if self._record is None else RecordedShapes(plain, self._record)

    def _compute_plainly(self, batch: Tensor, dtype: torch.dtype) -> Tensor:
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            if not self._masking:
                return self.network(batch).float()
            told = batch[:, 3:] if self._told else None
            image, mask = self.network(batch[:, :3], told, return_mask=True)
            return torch.cat([image.float(), mask.float()], 1)


def check_finds_damage(info: CheckpointInfo) -> None:
    """Raise UsageError unless a checkpoint's network finds damage, and may be told where it is."""
    if not info.architecture.finds_damage:
        able = " or ".join(each.title for each in NETWORKS.values() if each.finds_damage)
        raise UsageError(
            f"{info.name or 'The file'} is a checkpoint of {info.architecture.title}, which does "
            "not tell where the damage is.",
            f"Leave out --mask and --mask-out, or use a checkpoint of {able}",
        )


def _read_tile(plan: TilePlan, pixels: np.ndarray, top: int, left: int) -> np.ndarray:
    """Cut a tile of H x W x C pixels of any type: 3 x tile_height x tile_width float32."""
    tile = to_planes(pixels[top : top + plan.tile_height, left : left + plan.tile_width])
    return pad_tile(tile, plan.tile_height, plan.tile_width)


def are_pictures(restored: Tensor) -> Tensor:
    """Tell of each of B x 3 x h x w whether all values are finite and near those of pictures."""
    low, high = restored.flatten(1).aminmax(dim=1)
    return (low >= LOWEST) & (high <= HIGHEST)  # NaN is neither
