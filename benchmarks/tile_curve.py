"""Tile size and overlap against PSNR and cost: where the default tiling comes from.

    python benchmarks/tile_curve.py CLEAN_FOLDER [--task denoise|derain|deblur] [--sigma 25]

Takes the middle 480 x 320 pixels of the first photographs of the folder (which must be none that
any benchmark evaluates), degrades them (seeded), restores them with each tiling and prints mean RGB
PSNR and the pixels computed per pixel of the image. Nothing here touches an evaluation set.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from drcnet_cli.api import load_model
from drcnet_cli.degrade import DEGRADATIONS
from drcnet_cli.imageio import read_picture, to_planes
from drcnet_cli.metrics import psnr
from drcnet_cli.restore.tiling import TileOptions

HEIGHT, WIDTH = 320, 480
TILINGS = [
    (None, None),  # the default: fitted to the image
    (0, 0),
    *[(256, overlap) for overlap in (0, 32, 64)],
    *[(192, overlap) for overlap in (0, 12, 24, 48)],
    *[(128, overlap) for overlap in (0, 16, 32)],
    *[(96, overlap) for overlap in (0, 12, 24)],
    *[(64, overlap) for overlap in (0, 8, 16)],
]
KINDS = {"denoise": "gaussian", "derain": "rain", "deblur": "blur"}


def find_photographs(folder: Path) -> list[Path]:
    """List the pictures in and below a folder."""
    return sorted(p for p in folder.rglob("*") if p.suffix in (".jpg", ".png", ".webp"))


def degrade(clean: np.ndarray, task: str, sigma: float, seed: int) -> np.ndarray:
    """Turn H x W x 3 uint8 into what the task mends, float32 in about [0, 1]."""
    rng = np.random.default_rng(seed)
    if task == "denoise":
        noisy = clean / 255 + rng.normal(0, sigma / 255, clean.shape)
        return noisy.astype(np.float32)  # unclipped, as the published protocol has it
    worse = DEGRADATIONS[KINDS[task]](to_planes(clean), rng).degraded
    return np.ascontiguousarray(worse.transpose(1, 2, 0))


def load_samples(folder: Path, task: str, sigma: float, count: int) -> list[tuple[np.ndarray, ...]]:
    """Give (degraded, clean) pairs, H x W x 3 float32 in [0, 1] and uint8."""
    samples = []
    paths = find_photographs(folder)
    for index, path in enumerate(paths[:: max(1, len(paths) // count)][:count]):
        pixels = read_picture(path).pixels
        top, left = (pixels.shape[0] - HEIGHT) // 2, (pixels.shape[1] - WIDTH) // 2
        clean = pixels[max(top, 0) :, max(left, 0) :][:HEIGHT, :WIDTH]
        samples.append((degrade(clean, task, sigma, index), clean))
    return samples


def main() -> None:
    """Print the curve as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", default="denoise", choices=sorted(KINDS))
    parser.add_argument("--sigma", type=float, default=25)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--dtype", default="auto")
    args = parser.parse_args()
    samples = load_samples(args.folder, args.task, args.sigma, args.count)
    model = load_model(args.task, dtype=args.dtype)
    print("| tile | overlap | PSNR | computed / image pixels | seconds |\n|---|---|---|---|---|")
    for tile, overlap in TILINGS:
        restorer = model.restorer(TileOptions(tile, overlap))
        started = time.perf_counter()
        scores, computed = [], 0
        for degraded, clean in samples:
            restored = restorer.restore(degraded)
            rounded = np.rint(restored * 255).astype(np.uint8)
            scores.append(psnr(rounded, clean))
            plan = restorer.rule.plan(*degraded.shape[:2])
            computed += len(plan) * plan.tile_height * plan.tile_width
        cost = computed / sum(d.shape[0] * d.shape[1] for d, _ in samples)
        seconds = time.perf_counter() - started
        name = {None: "default", 0: "whole"}.get(tile, tile)
        row = (
            name,
            "" if overlap is None else overlap,
            f"{np.mean(scores):.3f}",
            f"{cost:.2f}",
            f"{seconds:.1f}",
        )
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
