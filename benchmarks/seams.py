"""The seam figure: mean gradient across tile borders over that elsewhere; 1.00 means no seam.

    python benchmarks/seams.py FOLDER [--task denoise] [--tile N] [--overlap N] [--limit 50]

Restores each photograph at the default tiling (or the one given) and takes the absolute differences
of neighbouring pixels across the first and last row and column of each tile's overlap, over those
across all other rows and columns. A photograph has structure of its own at these places (JPEG's
blocks above all), so the figure is divided by the same one of a restoration whose tiles lie half a
tile further: the same network and the same places, but no border there. (The whole picture restored
at once is no measure: its statistics, and so its noise, may be quite different.)
"""

import argparse
from pathlib import Path

import numpy as np

from drcnet_cli.api import load_model
from drcnet_cli.imageio import read_picture
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import TileOptions


def border_lines(starts: tuple[int, ...], tile: int, shift: int = 0) -> set[int]:
    """Give the lines k, between pixels k and k + 1, at which an overlap begins or ends."""
    begins = {start - 1 + shift for start in starts[1:]}
    return begins | {start + tile - 1 + shift for start in starts[:-1]}


def line_gradients(
    pixels: np.ndarray, borders: list[set[int]], others: list[set[int]], margins: list[int]
) -> np.ndarray:
    """Give the mean gradient at border lines and elsewhere; the first lines and `others` aside."""
    values: tuple[list[float], list[float]] = ([], [])
    for axis in (0, 1):
        steps = np.abs(np.diff(pixels.astype(np.float64), axis=axis))
        for line, mean in enumerate(steps.mean(axis=tuple({0, 1, 2} - {axis}))):
            if line >= margins[axis] and line not in others[axis]:
                values[line not in borders[axis]].append(mean)
    return np.array([np.mean(lines) for lines in values])


def seam_gradients(restorer: Restorer, pixels: np.ndarray) -> np.ndarray:
    """Give [[at borders, elsewhere], [the same places with borders moved away, elsewhere]]."""
    plan = restorer.rule.plan(*pixels.shape[:2])
    down, right = (plan.tile_height - 16) // 2, (plan.tile_width - 16) // 2
    borders = [
        border_lines(plan.tops, plan.tile_height),
        border_lines(plan.lefts, plan.tile_width),
    ]
    moved = restorer.rule.plan(pixels.shape[0] - down, pixels.shape[1] - right)
    others = [
        border_lines(moved.tops, moved.tile_height, down),
        border_lines(moved.lefts, moved.tile_width, right),
    ]
    restored = restorer.restore(pixels)
    control = restored.copy()
    control[down:, right:] = restorer.restore(np.ascontiguousarray(pixels[down:, right:]))
    margins = [down + 1, right + 1]
    return np.stack(
        [line_gradients(image, borders, others, margins) for image in (restored, control)]
    )


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
    model = load_model(args.weights or args.task)
    restorer = model.restorer(TileOptions(args.tile, args.overlap))
    paths = [p for p in sorted(args.folder.iterdir()) if p.suffix in (".jpg", ".png", ".webp")]
    paths = paths[:: max(1, len(paths) // args.limit)][: args.limit]
    sums = sum(seam_gradients(restorer, read_picture(path).pixels) for path in paths)
    tiled, control = sums[:, 0] / sums[:, 1]
    print(f"{len(paths)} photographs, {restorer.describe()}")
    print(f"borders {tiled:.4f}, the same places without borders {control:.4f}")
    print(f"seam figure: {tiled / control:.4f}")


if __name__ == "__main__":
    main()
