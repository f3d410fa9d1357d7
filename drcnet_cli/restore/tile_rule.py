"""Which tiles an image gets: the user's wish, else the training patch and the image decide.

Measured with benchmarks/tile_curve.py: a network trained on 64-pixel patches alone loses 1.3 dB on
whole images and wants tiles of just that size. One whose last patches had 192 pixels restores
anything from 96 pixels up to that alike (within 0.02 dB, and a whole megapixel 0.13 dB worse), so
that its tiles may shrink to what the image needs, and fewer pixels are computed.
"""

from dataclasses import dataclass

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.restore.tiling import (
    MULTIPLE,
    SMALLEST_TILE,
    TilePlan,
    check_tile,
    fitted_tiles,
    plan_tiles,
    published_tiles,
)

DEFAULT_TILE = 256
# A checkpoint may be anyone's: it cannot ask for tiles, and so for memory, without end.
LARGEST_OWN_TILE = 1024
# The cheapest share whose PSNR is within 0.05 dB of the best.
OVERLAP_SHARE = 8
FITTING_PATCH = 192  # the training patch from which on tiles are fitted to the image
SMALLEST_FITTED = 96


@dataclass(frozen=True)
class TileRule:
    """What cuts every image of a run, in pixels; `largest` 0: not at all.

    `smallest` and `largest` differ where tiles are fitted to each image. `padding`: the size beyond
    which a tile that reaches past a small image is pointless.
    """

    smallest: int
    largest: int
    overlap: int
    padding: int
    published: bool = False

    def plan(self, height: int, width: int) -> TilePlan:
        """Cut an image of height x width pixels."""
        tile, overlap = self.largest, self.overlap
        if self.published:
            return published_tiles(height, width, tile)
        if self.smallest < tile:
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
            return "whole image"
        edges = "as published" if self.published else f"overlap {self.overlap}"
        fitted = "up to " if self.smallest < self.largest else ""
        return f"tile {fitted}{self.largest}, {edges}"


@dataclass(frozen=True)
class Tiling:
    """How an image is cut, in pixels (tile 0: not at all); None: checkpoint and memory decide.

    `published` cuts and averages as the published evaluations do, and has no overlap of its own.
    """

    tile: int | None = None
    overlap: int | None = None
    batch: int | None = None
    published: bool = False

    def settle(self, info: CheckpointInfo) -> TileRule:
        """Give the rule, the checkpoint's training patch filling what is not set.

        Raises UsageError for sizes that cannot be used.
        """
        own = own_tile(info)
        smallest = largest = own if self.tile is None else self.tile
        if self.tile is None and own >= FITTING_PATCH and not self.published:
            smallest = SMALLEST_FITTED
        overlap = largest // OVERLAP_SHARE if self.overlap is None else self.overlap
        check_tile(largest, overlap)
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"A batch of {self.batch} tiles cannot be used.", "Use --batch 1")
        return TileRule(smallest, largest, overlap, own, self.published)


def own_tile(info: CheckpointInfo) -> int:
    """Give the checkpoint's training patch as a tile size, `DEFAULT_TILE` where it is unknown."""
    patch = min(info.training_patch or DEFAULT_TILE, LARGEST_OWN_TILE)
    return max(SMALLEST_TILE, round(patch / MULTIPLE) * MULTIPLE)
