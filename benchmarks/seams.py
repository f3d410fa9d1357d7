"""The seam figure: mean gradient across tile borders over that elsewhere; 1.00 means no seam.

    python benchmarks/seams.py FOLDER [--task denoise] [--tile N] [--overlap N] [--limit 50]

Restores each photograph at the default tiling (or the one given), and takes the absolute
differences of neighbouring pixels across the first and last row and column of each tile's overlap,
over those across all other rows and columns. A photograph has structure of its own at these places,
so the same quotient of the whole-image restoration, which has no tiles, is printed beside it.
"""

import argparse
from pathlib import Path

import numpy as np

from drcnet_cli.api import load_model, make_restorer
from drcnet_cli.imageio import read_picture
from drcnet_cli.infer import Tiling
from drcnet_cli.tiling import plan_tiles


def border_gradients(pixels: np.ndarray, tile: int, overlap: int) -> tuple[list[float], ...]:
    """Give the mean gradients of each line at tile borders, and of each line elsewhere."""
    plan = plan_tiles(*pixels.shape[:2], tile, overlap)
    at_borders: list[float] = []
    elsewhere: list[float] = []
    for axis, starts in ((0, plan.tops), (1, plan.lefts)):
        steps = np.abs(np.diff(pixels.astype(np.float64), axis=axis))
        lines = steps.mean(axis=tuple({0, 1, 2} - {axis}))  # line k: between k and k + 1
        borders = {start - 1 for start in starts[1:]} | {start + tile - 1 for start in starts[:-1]}
        for line, mean in enumerate(lines):
            (at_borders if line in borders else elsewhere).append(float(mean))
    return at_borders, elsewhere


def main() -> None:
    """Print the seam figures of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", default="denoise")
    parser.add_argument("--tile", type=int)
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--limit", type=int, default=50)
    args = parser.parse_args()
    network = load_model(args.task)
    tiled = make_restorer(network, Tiling(args.tile, args.overlap))
    whole = make_restorer(network, Tiling(0))
    sums = np.zeros((2, 2))
    paths = [p for p in sorted(args.folder.iterdir()) if p.suffix in (".jpg", ".png", ".webp")]
    for path in paths[: args.limit]:
        pixels = read_picture(path).pixels
        for row, restorer in enumerate((tiled, whole)):
            lines = border_gradients(restorer.restore(pixels), tiled.tile, tiled.overlap)
            sums[row] += [np.mean(values) for values in lines]
    ratios = sums[:, 0] / sums[:, 1]
    print(f"{len(paths[: args.limit])} photographs, {tiled.describe()}")
    print(f"seam figure, tiled: {ratios[0]:.4f}")
    print(f"the same places, whole image: {ratios[1]:.4f}")
    print(f"quotient: {ratios[0] / ratios[1]:.4f}")


if __name__ == "__main__":
    main()
