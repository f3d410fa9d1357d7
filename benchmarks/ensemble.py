"""What averaging a picture's views brings: PSNR of one, of mirror images, of quarter turns, too.

    python benchmarks/ensemble.py CLEAN_FOLDER [--tasks denoise derain ...] [--side 256]

The middle of each photograph (none that an evaluation set has) is degraded by the task's own mix
and restored as it is, mirrored, turned by 180 degrees, and all that after a quarter turn.
"""

import argparse
from pathlib import Path

import numpy as np
from tile_curve import find_photographs

from drcnet_cli.api import load_model
from drcnet_cli.degrade import degrade
from drcnet_cli.imageio import read_picture, to_planes
from drcnet_cli.metrics import psnr
from drcnet_cli.tasks import TASKS
from drcnet_cli.train.samples import middle

# Quarter turns, and whether mirrored left to right: --ensemble averages the first four.
VIEWS = [(0, False), (0, True), (2, False), (2, True)]
VIEWS += [(turns + 1, mirrored) for turns, mirrored in VIEWS]
COUNTS = (1, 2, 4, 8)
DEFAULTS = ["denoise", "derain", "deblur", "dehaze", "raindrop", "deshadow", "hybrid"]


def turned(pixels: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    """Return one view of H x W x C pixels."""
    view = np.rot90(pixels, turns)
    return np.ascontiguousarray(view[:, ::-1] if mirrored else view)


def turned_back(pixels: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    """Undo `turned`."""
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, -turns)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", nargs="*", default=DEFAULTS, choices=DEFAULTS)
    parser.add_argument("--side", type=int, default=256)
    args = parser.parse_args()
    paths = find_photographs(args.folder)
    print(f"{len(paths)} photographs\n\n| task | input | " + " | ".join(map(str, COUNTS)) + " |")
    print("|---|" + "---|" * (1 + len(COUNTS)))
    for task in args.tasks:
        restorer, rows = load_model(task).restorer(), []
        for index, path in enumerate(paths):
            clean = to_planes(middle(read_picture(path).pixels, args.side))
            pair = degrade(clean, TASKS[task].degradation, np.random.default_rng(index))
            bad, good = (each.transpose(1, 2, 0) for each in (pair.degraded, pair.clean))
            bad = np.ascontiguousarray(np.clip(bad, 0, 1))
            made = [turned_back(restorer.restore(turned(bad, *view)), *view) for view in VIEWS]
            means = [np.mean(made[:count], 0, dtype=np.float32) for count in COUNTS]
            rows.append([psnr(each, good) for each in (bad, *means)])
        print(f"| {task} | " + " | ".join(f"{x:.2f}" for x in np.mean(rows, 0)) + " |", flush=True)


if __name__ == "__main__":
    main()
