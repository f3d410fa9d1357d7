"""Equal overlapping tiles, smooth weights that sum to one, and a blender that streams rows.

The network's statistics span its whole input, so a tile is restored best at sizes that it was
trained on; blended over an overlap tiles leave no seam. Knows no network and no file:
tiles come in plan order, finished rows go out top to bottom, and only a band one tile high is held.

Which tiles an image gets the user's wish decides, else the training patch and the image. Measured
with benchmarks/tile_curve.py: a network trained on 64-pixel patches alone loses 1.3 dB on whole
images and wants tiles of just that size. One whose last patches had 192 pixels restores anything
from 96 pixels up to that alike (within 0.02 dB, and a whole megapixel 0.13 dB worse), so that its
tiles may shrink to what the image needs, and fewer pixels are computed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from drcnet_cli.errors import UsageError
from drcnet_cli.tasks import TASKS

if TYPE_CHECKING:
    from drcnet_cli.networks.checkpoint import CheckpointInfo  # loads torch

MULTIPLE = 8  # four levels: the network halves three times
SMALLEST_TILE = 16
DEFAULT_TILE = 256
# A checkpoint may be anyone's: it cannot ask for tiles, and so for memory, without end.
LARGEST_OWN_TILE = 1024
# The cheapest share whose PSNR is within 0.05 dB of the best.
OVERLAP_SHARE = 8
# Of large pictures with fine damage: 9 % less to compute, for 0.006 dB at most.
FINE_OVERLAP_SHARE, LARGE_PICTURE = 12, 10**6  # pixels
FITTING_PATCH = 192  # the training patch from which on tiles are fitted to the image
SMALLEST_FITTED = 96


@dataclass(frozen=True)
class TilePlan:
    """Where the tiles of one image lie.

    Pixels throughout. `tops` and `lefts` are evenly spread, the first at 0, the last flush with the
    edge. Where the image is smaller than a tile there is one tile, which reaches past the image.
    `smooth`: tiles fade into each other; otherwise all that cover a pixel count alike.
    """

    height: int
    width: int
    tile_height: int
    tile_width: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    smooth: bool = True

    def __len__(self) -> int:
        """Count the tiles."""
        return len(self.tops) * len(self.lefts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield (top, left) of each tile, row by row."""
        return ((top, left) for top in self.tops for left in self.lefts)

    @cached_property
    def row_weights(self) -> list[np.ndarray]:
        """Vertical weights of each row of tiles, float32, tile_height each."""
        return axis_weights(self.tops, self.tile_height, self.smooth)

    @cached_property
    def column_weights(self) -> list[np.ndarray]:
        """Horizontal weights of each column of tiles, float32, tile_width each."""
        return axis_weights(self.lefts, self.tile_width, self.smooth)


def check_tile(tile: int, overlap: int) -> None:
    """Raise UsageError unless tile is 0 (whole image) or a fitting size, and overlap below it."""
    if tile and (tile % MULTIPLE or tile < SMALLEST_TILE):
        nearest = max(SMALLEST_TILE, round(tile / MULTIPLE) * MULTIPLE)
        raise UsageError(
            f"A tile of {tile} pixels cannot be used: it must be a multiple of {MULTIPLE}, at "
            f"least {SMALLEST_TILE}, or 0 for the whole image.",
            f"Use --tile {nearest}",
        )
    if overlap < 0 or (tile and overlap >= tile):
        raise UsageError(
            f"An overlap of {overlap} pixels cannot be used with tiles of {tile}.",
            f"Use --overlap {tile // 4}" if tile else "Use --overlap 0",
        )


def plan_tiles(height: int, width: int, tile: int, overlap: int) -> TilePlan:
    """Cover height x width with tiles of `tile` pixels that overlap by at least `overlap`.

    tile 0: one tile, the whole image rounded up to a multiple of 8. Raises UsageError as
    `check_tile` does.
    """
    check_tile(tile, overlap)
    tile_height = tile or -(-height // MULTIPLE) * MULTIPLE
    tile_width = tile or -(-width // MULTIPLE) * MULTIPLE
    return _cover(height, width, tile_height, tile_width, overlap)


def fitted_tiles(height: int, width: int, *, smallest: int, largest: int, overlap: int) -> TilePlan:
    """Cover height x width with as few tiles as `largest` allows, no larger than they need be.

    The two sides of a tile may differ; an image below `smallest` pixels is extended to that. Sizes
    are in pixels and multiples of 8.
    """
    tile_height = _fitted_side(height, smallest, largest, overlap)
    tile_width = _fitted_side(width, smallest, largest, overlap)
    return _cover(height, width, tile_height, tile_width, overlap)


def _cover(height: int, width: int, tile_height: int, tile_width: int, overlap: int) -> TilePlan:
    return TilePlan(
        height=height,
        width=width,
        tile_height=tile_height,
        tile_width=tile_width,
        tops=axis_starts(height, tile_height, overlap),
        lefts=axis_starts(width, tile_width, overlap),
    )


def _fitted_side(length: int, smallest: int, largest: int, overlap: int) -> int:
    """Return the side that `length` needs, tiles being as many as with `largest`."""
    count = len(axis_starts(length, largest, overlap))
    side = -(-(length + (count - 1) * overlap) // count)
    return max(smallest, -(-side // MULTIPLE) * MULTIPLE)


def published_tiles(height: int, width: int, tile: int) -> TilePlan:
    """Cover height x width as the published evaluations do: HINet's and DRCNet's released code.

    As few tiles as cover it, at steps rounded up, and plain averages where they overlap. Raises
    UsageError as `check_tile` does.
    """
    check_tile(tile, 0)

    def starts(length: int) -> tuple[int, ...]:
        if length <= tile:
            return (0,)
        last = -(-length // tile) - 1
        step = -(-(length - tile) // last)
        return tuple(min(index * step, length - tile) for index in range(last + 1))

    return TilePlan(height, width, tile, tile, starts(height), starts(width), smooth=False)


def axis_starts(length: int, tile: int, overlap: int) -> tuple[int, ...]:
    """Spread as few tiles as cover `length` evenly, neighbours overlapping by `overlap` or more."""
    if length <= tile:
        return (0,)
    count = -(-(length - tile) // (tile - overlap)) + 1
    return tuple(index * (length - tile) // (count - 1) for index in range(count))


def axis_weights(starts: tuple[int, ...], tile: int, smooth: bool = True) -> list[np.ndarray]:
    """Compute an axis's weights, which sum to one: raised cosines over each overlap, if smooth."""
    total = np.zeros(starts[-1] + tile)
    raw = []
    for index, start in enumerate(starts):
        weight = np.ones(tile)
        if smooth and index > 0:
            _ramp(weight, starts[index - 1] + tile - start)
        if smooth and index + 1 < len(starts):
            _ramp(weight[::-1], start + tile - starts[index + 1])
        raw.append(weight)
        total[start : start + tile] += weight
    return [
        (weight / total[start : start + tile]).astype(np.float32)
        for weight, start in zip(raw, starts, strict=True)
    ]


def _ramp(weight: np.ndarray, overlap: int) -> None:
    """Let the first `overlap` weights rise from near 0 to near 1, in place, never quite 0."""
    phase = (np.arange(overlap) + 0.5) / max(overlap, 1)
    weight[:overlap] *= 0.5 - 0.5 * np.cos(np.pi * phase)


@dataclass(frozen=True)
class TileRule:
    """What cuts every image of a run, in pixels; `largest` 0: not at all.

    `smallest` and `largest` differ where tiles are fitted to each image. `padding`: the size beyond
    which a tile that reaches past a small image is pointless. `large_overlap`: that of fitted tiles
    in pictures of LARGE_PICTURE pixels and more. `small_side`: what is cut is a copy of so many
    pixels along its longer side (see `small_copy`), and what changed there is fitted over
    `small_radius` of them; 0: the picture itself.
    """

    smallest: int
    largest: int
    overlap: int
    padding: int
    large_overlap: int
    published: bool = False
    small_side: int = 0
    small_radius: int = 0

    def plan(self, height: int, width: int) -> TilePlan:
        """Cut an image of height x width pixels."""
        tile, overlap = self.largest, self.overlap
        if self.published:
            return published_tiles(height, width, tile)
        if self.smallest < tile:
            overlap = self.large_overlap if height * width >= LARGE_PICTURE else overlap
            return fitted_tiles(
                height, width, smallest=self.smallest, largest=tile, overlap=overlap
            )
        enough = max(-(-max(height, width) // MULTIPLE) * MULTIPLE, self.padding)
        if tile > enough:  # one tile, so nothing overlaps
            return plan_tiles(height, width, enough, 0)
        return plan_tiles(height, width, tile, overlap)

    def describe(self) -> str:
        """Say it in a few words."""
        if not self.largest:
            small = f" at {self.small_side} pixels or less" if self.small_side else ""
            return f"whole image{small}"
        edges = "as published" if self.published else f"overlap {self.overlap}"
        if self.large_overlap != self.overlap:
            edges += f" (large pictures {self.large_overlap})"
        fitted = "up to " if self.smallest < self.largest else ""
        return f"tile {fitted}{self.largest}, {edges}"


@dataclass(frozen=True)
class TileOptions:
    """How an image is cut, in pixels (tile 0: not at all); None: checkpoint and memory decide.

    `published` cuts and averages as the published evaluations do, and has no overlap of its own.
    """

    tile: int | None = None
    overlap: int | None = None
    batch: int | None = None
    published: bool = False

    def settle(self, info: "CheckpointInfo") -> TileRule:
        """Return the rule, the checkpoint's training patch filling what is not set.

        Raises UsageError for sizes that cannot be used.
        """
        own = own_tile(info)
        smallest = largest = own if self.tile is None else self.tile
        overlap = largest // OVERLAP_SHARE if self.overlap is None else self.overlap
        large_overlap = overlap
        if self.tile is None and own >= FITTING_PATCH and not self.published:
            smallest = SMALLEST_FITTED
            if self.overlap is None and info.task in TASKS and TASKS[info.task].is_fine:
                large_overlap = largest // FINE_OVERLAP_SHARE
        check_tile(largest, overlap)
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"A batch of {self.batch} tiles cannot be used.", "Use --batch 1")
        task = TASKS.get(info.task or "")
        if task and task.small_side and self == TileOptions(batch=self.batch):  # nobody wants tiles
            side, radius = task.small_side, task.small_radius
            return TileRule(0, 0, 0, own, 0, small_side=side, small_radius=radius)
        return TileRule(smallest, largest, overlap, own, large_overlap, self.published)


def own_tile(info: "CheckpointInfo") -> int:
    """Return the checkpoint's training patch as a tile size, `DEFAULT_TILE` where it is unknown."""
    patch = min(info.training_patch or DEFAULT_TILE, LARGEST_OWN_TILE)
    return max(SMALLEST_TILE, round(patch / MULTIPLE) * MULTIPLE)


def cut_tile(plan: TilePlan, image: np.ndarray, top: int, left: int) -> np.ndarray:
    """Cut C x tile_height x tile_width from C x H x W, reflected where it reaches past the image.

    A side of one pixel cannot be reflected and is repeated.
    """
    tile = image[:, top : top + plan.tile_height, left : left + plan.tile_width]
    return pad_tile(tile, plan.tile_height, plan.tile_width)


def pad_tile(tile: np.ndarray, height: int, width: int) -> np.ndarray:
    """Extend C x h x w at the bottom and right to height x width: reflect, repeat single pixels."""
    bottom, right = height - tile.shape[1], width - tile.shape[2]
    if not bottom and not right:
        return tile
    tile = np.pad(tile, ((0, 0), (0, bottom), (0, 0)), "reflect" if tile.shape[1] > 1 else "edge")
    return np.pad(tile, ((0, 0), (0, 0), (0, right)), "reflect" if tile.shape[2] > 1 else "edge")


class RowBlender:
    """Add restored tiles in plan order; get finished rows as soon as no tile will touch them.

    `emit(top, rows)` is called with C x h x W float32, top to bottom, each row exactly once. The
    rows belong to the blender and change with the next tile: use or copy them at once.
    """

    def __init__(
        self, plan: TilePlan, emit: Callable[[int, np.ndarray], None], channels: int = 3
    ) -> None:
        self._plan = plan
        self._emit = emit
        self._added = 0
        self._top = 0  # the image row of the band's first row
        padded_width = plan.lefts[-1] + plan.tile_width
        self._band = np.zeros((channels, plan.tile_height, padded_width), np.float32)

    def add(self, tile: np.ndarray) -> None:
        """Add the next tile in plan order: channels x tile_height x tile_width."""
        plan = self._plan
        row, column = divmod(self._added, len(plan.lefts))
        left = plan.lefts[column]
        weight = plan.row_weights[row][:, None] * plan.column_weights[column]
        self._band[:, :, left : left + plan.tile_width] += tile * weight
        self._added += 1
        if column + 1 == len(plan.lefts):
            last = row + 1 == len(plan.tops)
            self._flush(plan.height if last else plan.tops[row + 1])

    def _flush(self, bottom: int) -> None:
        """Emit the rows above `bottom` and move the band down to start there."""
        count = bottom - self._top
        self._emit(self._top, self._band[:, :count, : self._plan.width])
        kept = self._band.shape[1] - count
        self._band[:, :kept] = self._band[:, count:].copy()
        self._band[:, kept:] = 0
        self._top = bottom
