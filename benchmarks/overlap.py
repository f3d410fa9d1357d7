"""What a large picture's tiles may overlap by: PSNR and pixels computed, tile by tile size.

    python benchmarks/overlap.py CLEAN_FOLDER [--task denoise] [--sigma 25] [--count 12]
                                 [--tilings 192:24 192:16]

A large picture's tiles overlap by hardly more than they must, a small one's by what its size leaves
over. So each tiling gets a piece of the photograph that its tiles fill exactly, and all are scored
on the same pixels of it. Photographs of less than 900 pixels a side are passed over.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from tile_curve import KINDS, degrade, find_photographs

from drcnet_cli.api import load_model
from drcnet_cli.imageio import read_picture
from drcnet_cli.metrics import psnr
from drcnet_cli.restore.tiling import TileOptions

SCORED, LEAST = 704, 900  # pixels of a side
TILINGS = ["192:24", "192:20", "192:16", "208:24", "208:20", "224:24", "256:24"]


def load_samples(folder: Path, task: str, sigma: float, count: int) -> list[tuple[np.ndarray, ...]]:
    """Give (degraded, clean) pairs, LEAST pixels a side, float32 in [0, 1] and uint8."""
    large = [path for path in find_photographs(folder) if min(Image.open(path).size) >= LEAST]
    samples = []
    for index, path in enumerate(large[:: max(1, len(large) // count)][:count]):
        clean = np.ascontiguousarray(read_picture(path).pixels[:LEAST, :LEAST])
        samples.append((degrade(clean, task, sigma, index), clean))
    return samples


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", default="denoise", choices=sorted(KINDS))
    parser.add_argument("--sigma", type=float, default=25)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--tilings", nargs="*", default=TILINGS, help="such as 192:24 192:16")
    args = parser.parse_args()
    samples = load_samples(args.folder, args.task, args.sigma, args.count)
    model = load_model(args.task)
    print(f"{len(samples)} photographs\n\n| tile | overlap | PSNR | cost |\n|---|---|---|---|")
    for tile, overlap in (map(int, tiling.split(":")) for tiling in args.tilings):
        restorer = model.restorer(TileOptions(tile, overlap))
        step = tile - overlap
        side = tile + -(-(SCORED - tile) // step) * step
        scores = []
        for degraded, clean in samples:
            piece = np.ascontiguousarray(degraded[:side, :side])
            restored = restorer.restore(piece)[:SCORED, :SCORED]
            rounded = np.rint(restored * 255).astype(np.uint8)
            scores.append(psnr(rounded, clean[:SCORED, :SCORED]))
        cost = (tile / step) ** 2
        print(f"| {tile} | {overlap} | {np.mean(scores):.3f} | {cost:.3f} |", flush=True)


if __name__ == "__main__":
    main()
