"""Haze, shadows and drops mended in a small copy, against tiles of the picture: PSNR and seconds.

    python benchmarks/small_copy.py CLEAN_FOLDER [--tasks dehaze deshadow raindrop]
                                    [--sides 256 384 512 768 1024]
                                    [--radii 8 16] [--count 12]

Photographs (of the folder, evenly picked) are degraded by the task's own mix and restored in tiles
as the checkpoint was trained, in one piece, and by copies of several sides; "+" is what changed
there, enlarged and added, where `drcnet restore` fits lines. Drops are as much larger than those
that were trained on as a picture is larger than 640 pixels: a camera's are a share of the picture.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tile_curve import find_photographs

from drcnet_cli.api import load_model
from drcnet_cli.degrade import degrade
from drcnet_cli.degrade.base import Degraded
from drcnet_cli.degrade.drops import MIXED, add_drops
from drcnet_cli.imageio import read_picture, to_planes
from drcnet_cli.metrics import psnr
from drcnet_cli.restore import small_copy
from drcnet_cli.restore.config import LoadedModel
from drcnet_cli.restore.tiling import TileOptions, own_tile
from drcnet_cli.tasks import TASKS

Way = tuple[str, Callable[[np.ndarray], np.ndarray]]


def add(pixels: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Add to H x W x 3 what was added to a copy of it."""
    size = pixels.shape[1::-1]
    change = cv2.resize(after - before, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(pixels + change, 0, 1)


def damaged(clean: np.ndarray, task: str, rng: np.random.Generator) -> Degraded:
    """Damage 3 x H x W in [0, 1] by a task's mix, drops at the picture's scale."""
    if task != "raindrop":
        return degrade(clean, TASKS[task].degradation, rng)
    scale = max(clean.shape[1:]) / 640
    sizes = ("radius", "edge", "blur")
    larger = {name: tuple(scale * bound for bound in getattr(MIXED, name)) for name in sizes}
    return add_drops(clean, rng, replace(MIXED, **larger))


def ways(model: LoadedModel, sides: list[int], radii: list[int]) -> Iterator[Way]:
    """Give each way to restore a picture, float32 in [0, 1], under its name."""
    tile = own_tile(model.info)
    yield f"tiles of {tile}", model.restorer(TileOptions(tile)).restore
    whole = model.restorer(TileOptions(0))
    yield "one piece", whole.restore
    for side in sides:
        yield f"{side} +", by_copy(whole.restore, side, add)
        for radius in radii:
            carry = partial(small_copy.carry_over, radius=radius)
            yield f"{side}, radius {radius}", by_copy(whole.restore, side, carry)


def by_copy(
    restore: Callable[[np.ndarray], np.ndarray],
    side: int,
    carry: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Callable[[np.ndarray], np.ndarray]:
    """Make what restores by a copy of so many pixels a side."""

    def restored(pixels: np.ndarray) -> np.ndarray:
        before = small_copy.reduced(pixels, side)
        return carry(pixels, before, restore(before))

    return restored


def main() -> None:
    """Print a Markdown table for each task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", nargs="*", default=["dehaze", "deshadow"])
    parser.add_argument("--models", nargs="*", help="in place of the tasks' checkpoints")
    parser.add_argument("--sides", nargs="*", type=int, default=[256, 384, 512, 768, 1024])
    parser.add_argument("--radii", nargs="*", type=int, help="default: the task's")
    parser.add_argument("--count", type=int, default=12)
    args = parser.parse_args()
    paths = find_photographs(args.folder)
    paths = paths[:: max(1, len(paths) // args.count)][: args.count]
    for task, name in zip(args.tasks, args.models or args.tasks, strict=True):
        pairs = []
        for index, path in enumerate(paths):
            clean = to_planes(read_picture(path).pixels)
            pair = damaged(clean, task, np.random.default_rng(index))
            both = (pair.degraded, pair.clean)
            pairs.append([np.ascontiguousarray(each.transpose(1, 2, 0)) for each in both])
        print(f"\n{task}, {len(pairs)} photographs: {np.mean([psnr(*pair) for pair in pairs]):.2f}")
        print("\n| way | PSNR | s |\n|---|---|---|")
        for way, restore in ways(
            load_model(name), args.sides, args.radii or [TASKS[task].small_radius]
        ):
            started = time.perf_counter()
            scores = [psnr(restore(bad), good) for bad, good in pairs]
            seconds = (time.perf_counter() - started) / len(pairs)
            print(f"| {way} | {np.mean(scores):.2f} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
