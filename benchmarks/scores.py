"""Measure checkpoints on the evaluation sets, at the defaults that users get.

    python benchmarks/scores.py DATA_ROOT [cbsd68 kodak24 rain100l rain100h polyu sidd ...] [--json]

DATA_ROOT holds the sets as PNG in their published layouts: CBSD68/, Kodak24/, Rain100L/{input,
target}, Rain100H/{input,target}, PolyU/{input,target}, SIDD_samples/{input,target}. Gaussian noise
is added unquantised and unclipped from the seed that is printed; results are rounded to 8 bits.
PSNR is of RGB, for rain of MATLAB's Y.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drcnet_cli.api import load_model, make_restorer
from drcnet_cli.imageio import read_picture
from drcnet_cli.infer import Tiling
from drcnet_cli.metrics import psnr

SEED = 0
IMAGES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Benchmark:
    """One row: a folder, its task, and how its input is made (sigma) or read (None)."""

    folder: str
    task: str
    sigma: int | None = None
    channel: str = "rgb"


BENCHMARKS = {
    **{
        f"{name.lower()}-{sigma}": Benchmark(name, "denoise", sigma)
        for name in ("CBSD68", "Kodak24")
        for sigma in (15, 25, 50)
    },
    "polyu": Benchmark("PolyU", "denoise"),
    "sidd": Benchmark("SIDD_samples", "denoise"),
    "rain100l": Benchmark("Rain100L", "derain", channel="y"),
    "rain100h": Benchmark("Rain100H", "derain", channel="y"),
    "gopro-sample": Benchmark("GoPro_sample", "deblur"),
}


def images_of(folder: Path) -> dict[str, Path]:
    """Give a folder's images by stem, sorted."""
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in IMAGES}


def pairs(root: Path, benchmark: Benchmark) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give (input, target) pixels of each image: targets uint8, noisy inputs float32."""
    folder = root / benchmark.folder
    if benchmark.sigma is None:
        targets = images_of(folder / "target")
        for name, path in images_of(folder / "input").items():
            yield read_picture(path).pixels, read_picture(targets[name]).pixels
        return
    for index, path in enumerate(images_of(folder).values()):
        target = read_picture(path).pixels
        noise = np.random.default_rng((SEED, index)).normal(0, benchmark.sigma, target.shape)
        yield ((target + noise) / 255).astype(np.float32), target


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """Round to 8 bits, as a saved image is."""
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)


def measure(name: str, root: Path, args: argparse.Namespace) -> dict[str, object]:
    """Restore one set; give its row."""
    benchmark = BENCHMARKS[name]
    network = load_model(args.weights or args.model or benchmark.task, args.device, args.dtype)
    tiling = Tiling(None if args.tile == "auto" else int(args.tile), args.overlap)
    restorer = make_restorer(network, tiling, args.ensemble)
    before, after = [], []
    started = time.perf_counter()
    for degraded, target in pairs(root, benchmark):
        restored = restorer.restore(degraded)
        before.append(psnr(to_bytes(degraded), target, channel=benchmark.channel))
        after.append(psnr(to_bytes(restored), target, channel=benchmark.channel))
        if args.limit and len(after) == args.limit:
            break
    return {
        "set": name,
        "images": len(after),
        "metric": f"PSNR {benchmark.channel.upper()}",
        "input": round(float(np.mean(before)), 3),
        "restored": round(float(np.mean(after)), 3),
        "seconds": round(time.perf_counter() - started, 1),
        "checkpoint": restorer.info.name,
        "run": restorer.describe(),
    }


def main() -> None:
    """Print a row per set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(BENCHMARKS))
    parser.add_argument("--model")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tile", default="auto")
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--ensemble", action="store_true")
    parser.add_argument("--limit", type=int, help="only the first N images")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_intermixed_args()
    chosen = args.sets or [n for n, b in BENCHMARKS.items() if (args.root / b.folder).is_dir()]
    if unknown := sorted(set(chosen) - set(BENCHMARKS)):
        sys.exit(f"Unknown set {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}")
    if not args.json:
        print("| set | images | metric | input | restored | checkpoint | run |")
        print("|---|---|---|---|---|---|---|")
    for name in chosen:
        row = measure(name, args.root, args)
        if args.json:
            print(json.dumps(row), flush=True)
        else:
            keys = ("set", "images", "metric", "input", "restored", "checkpoint", "run")
            print("| " + " | ".join(str(row[key]) for key in keys) + " |", flush=True)


if __name__ == "__main__":
    main()
