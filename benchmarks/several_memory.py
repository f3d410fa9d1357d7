"""Peak memory of restoring animations and files of pages of 10 and of 100 pictures.

python benchmarks/several_memory.py [--side 256]
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
    """Make pictures of a scene that moves, with noise: square, 8 bits."""
    y, x = np.mgrid[:side, :side]
    for number in range(count):
        waves = [np.sin((x + 3 * number) / (20 + 9 * k) + y / (30 - 5 * k)) for k in range(3)]
        noise = np.random.default_rng(number).normal(0, 12, (side, side, 3))
        yield Picture((128 + 70 * np.stack(waves, 2) + noise).clip(0, 255).astype(np.uint8))


def make(path: Path, count: int, side: int) -> None:
    """Write an animation, or pages."""
    several = Several(
        path.name, "", "frame", count, range(count), lambda _: iter(()), path.open("a+b"), plays=0
    )
    with several.file, writing_several(several, path) as writer:
        for picture in noisy(count, side):
            writer.add(picture, Fraction(1, 10))


def peak(source: Path, target: Path) -> float:
    """Return the most mebibytes that restoring took."""
    call = [sys.executable, "-m", "drcnet_cli", "restore", "-t", "denoise", "--threads", "1"]
    call += [str(source), str(target)]
    told = subprocess.run([sys.executable, "-c", MEASURE, *call], capture_output=True, text=True)
    code, most = map(int, told.stdout.split())
    if code:
        raise SystemExit(f"{source} was not restored: exit code {code}.")
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Print a row for each kind of file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256, help="of the pictures, in pixels")
    side = parser.parse_args().side
    print("| file |" + "".join(f" {count} pictures, MiB |" for count in COUNTS))
    print("|---|" + "---|" * len(COUNTS))
    with tempfile.TemporaryDirectory() as name:
        for ending in ("gif", "webp", "png", "tif"):
            peaks = []
            for count in COUNTS:
                source = Path(name) / f"{count}.{ending}"
                make(source, count, side)
                peaks.append(peak(source, Path(name) / f"out{count}.{ending}"))
            print(f"| {ending} |" + "".join(f" {most:.0f} |" for most in peaks), flush=True)


if __name__ == "__main__":
    main()
