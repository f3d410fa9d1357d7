"""The seam figure: mean gradient across tile borders over that elsewhere; 1.00 means no seam.

    python benchmarks/seams.py FOLDER [--task denoise] [--tile N] [--overlap N] [--limit 50]

Restores each photograph at the default tiling (or the one given) and takes the absolute differences
of neighbouring pixels across the first and last row and column of each tile's overlap, over those
across all other rows and columns. A photograph has structure of its own at these places (JPEG's
blocks above all), so the figure is divided by the same one of the whole picture restored at once:
the same network and the same places, but no border there.
"""

import argparse
from pathlib import Path

import numpy as np

from drcnet_cli.api import load_model, make_restorer
from drcnet_cli.imageio import read_picture
from drcnet_cli.infer import Restorer, Tiling


def border_lines(starts: tuple[int, ...], tile: int) -> set[int]:
    """Give the lines k, between pixels k and k + 1, at which an overlap begins or ends."""
    begins = {start - 1 for start in starts[1:]}
    return begins | {start + tile - 1 for start in starts[:-1]}


def line_gradients(pixels: np.ndarray, borders: tuple[set[int], set[int]]) -> np.ndarray:
    """Give the mean gradient at the border lines and elsewhere."""
    values: tuple[list[float], list[float]] = ([], [])
    for axis in (0, 1):
        steps = np.abs(np.diff(pixels.astype(np.float64), axis=axis))
        for line, mean in enumerate(steps.mean(axis=tuple({0, 1, 2} - {axis}))):
            values[line not in borders[axis]].append(mean)
    return np.array([np.mean(lines) for lines in values])


def seam_gradients(tiled: Restorer, whole: Restorer, pixels: np.ndarray) -> np.ndarray:
    """Give [[at borders, elsewhere], [the same places in a picture without borders, elsewhere]]."""
    plan = tiled.rule.plan(*pixels.shape[:2])
    borders = border_lines(plan.tops, plan.tile_height), border_lines(plan.lefts, plan.tile_width)
    return np.stack([line_gradients(each.restore(pixels), borders) for each in (tiled, whole)])


def main() -> None:
    """Print the seam figures of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", default="denoise")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--tile", type=int)
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--limit", type=int, default=50)
    args = parser.parse_args()
    network = load_model(args.weights or args.task)
    restorer = make_restorer(network, Tiling(args.tile, args.overlap))
    whole = make_restorer(network, Tiling(0))
    paths = [p for p in sorted(args.folder.iterdir()) if p.suffix in (".jpg", ".png", ".webp")]
    paths = paths[:: max(1, len(paths) // args.limit)][: args.limit]
    sums = sum(seam_gradients(restorer, whole, read_picture(path).pixels) for path in paths)
    tiled, control = sums[:, 0] / sums[:, 1]
    print(f"{len(paths)} photographs, {restorer.describe()}")
    print(f"borders {tiled:.4f}, the same places without borders {control:.4f}")
    print(f"seam figure: {tiled / control:.4f}")


if __name__ == "__main__":
    main()
