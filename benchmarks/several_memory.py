"""Peak memory of restoring animations and files of pages of 10 and of 100 pictures.

    python benchmarks/several_memory.py [--side 512] [--strength 0]

With strength 0 nothing is computed, which is quick: what the network takes comes on top, the same
for any number of pictures.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from drcnet_cli.imageio import Picture, Several, writing_several

COUNTS = (10, 100)
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def noisy(count: int, side: int) -> Iterator[Picture]:
    """Make pictures of a scene that moves, with noise: square, 8 bits, gray in RGB.

    Gray, because GIF's 256 colours for others take long to choose.
    """
    y, x = np.mgrid[:side, :side]
    for number in range(count):
        noise = np.random.default_rng(number).normal(0, 12, (side, side))
        scene = 128 + 70 * np.sin((x + 3 * number) / 20 + y / 30) + noise
        yield Picture(np.repeat(scene.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))


def make(path: Path, count: int, side: int) -> None:
    """Write an animation, or pages."""
    several = Several(
        path.name, "", "frame", count, range(count), lambda _: iter(()), path.open("a+b"), plays=0
    )
    with several.file, writing_several(several, path) as writer:
        for picture in noisy(count, side):
            writer.add(picture, Fraction(1, 10))


def peak(source: Path, target: Path, strength: float) -> float:
    """Return the most mebibytes that restoring took."""
    call = [sys.executable, "-m", "drcnet_cli", "restore", "-t", "denoise", "--threads", "1"]
    call += ["--strength", str(strength), str(source), str(target)]
    told = subprocess.run([sys.executable, "-c", MEASURE, *call], capture_output=True, text=True)
    code, most = map(int, told.stdout.split())
    if code:
        raise SystemExit(f"{source} was not restored: exit code {code}.")
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Print a row for each kind of file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="of the pictures, in pixels")
    parser.add_argument("--strength", type=float, default=0.0, help="as drcnet restore takes it")
    args = parser.parse_args()
    print("| file |" + "".join(f" {count} pictures, MiB |" for count in COUNTS))
    print("|---|" + "---|" * len(COUNTS))
    with tempfile.TemporaryDirectory() as name:
        for ending in ("gif", "webp", "png", "tif"):
            peaks = []
            for count in COUNTS:
                source = Path(name) / f"{count}.{ending}"
                make(source, count, args.side)
                target = Path(name) / f"out{count}.{ending}"
                peaks.append(peak(source, target, args.strength))
            print(f"| {ending} |" + "".join(f" {most:.0f} |" for most in peaks), flush=True)


if __name__ == "__main__":
    main()
