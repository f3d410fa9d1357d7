"""Whole `drcnet restore` runs of an earlier revision and of this one, in turns; the ratio printed.

    python benchmarks/before_after.py FOLDER --before REVISION [--clean FOLDER] [--task denoise]
                                      [--threads 1] [--jobs 1] [--turns 1]

FOLDER is restored by both, one after the other, so that a busy machine slows both alike. Printed
are the medians over turns of wall and processor seconds and of one process's peak memory, with
ratios, how far the results are apart, and PSNR against the pictures of the same names (their
endings apart) in the folder of clean ones. The revision is taken by `git archive`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from io import BytesIO
from pathlib import Path

from drcnet_cli.imageio import is_image_name, read_picture
from drcnet_cli.metrics import psnr

ROOT = Path(__file__).resolve().parents[1]
UNITS = {"s": 1.0, "processor s": 1.0, "MiB": 1 / 1024}


def main() -> None:
    """Compare the two and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--before", required=True)
    parser.add_argument("--clean", type=Path)
    parser.add_argument("--task", default="denoise")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", default="1")
    parser.add_argument("--turns", type=int, default=1)
    args = parser.parse_args()
    pictures = sorted(path for path in args.folder.iterdir() if is_image_name(path))
    if not pictures:
        sys.exit(f"{args.folder} has no pictures.")
    with tempfile.TemporaryDirectory(prefix="drcnet-before-") as name:
        before = Path(name) / "code"
        packed = subprocess.check_output(["git", "archive", args.before], cwd=ROOT)
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(before, filter="data")
        sides = {"before": before, "after": ROOT}
        used: dict[str, list[tuple[float, ...]]] = {side: [] for side in sides}
        for _ in range(args.turns):
            for side, code in sides.items():
                used[side].append(_restore(code, Path(name) / side, args))
        _print_used(used)
        _print_results(pictures, Path(name), args.clean)


def _restore(code: Path, out: Path, args: argparse.Namespace) -> tuple[float, ...]:
    """Restore the folder by a copy of the code; return what it used, in the order of UNITS."""
    command = [sys.executable, "-m", "drcnet_cli", "restore", "--task", args.task, "--overwrite"]
    command += ["--quiet", "--jobs", args.jobs, "--threads", str(args.threads)]
    command += [str(args.folder.resolve()), str(out)]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=code, env={**os.environ, "PYTHONPATH": str(code)})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{code} failed.")
    seconds = time.perf_counter() - started
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def _print_used(used: dict[str, list[tuple[float, ...]]]) -> None:
    for index, (unit, factor) in enumerate(UNITS.items()):
        before, after = ([run[index] * factor for run in used[side]] for side in used)
        ratio = statistics.median(old / new for old, new in zip(before, after, strict=True))
        print(
            f"before {statistics.median(before):.1f} {unit}, "
            f"after {statistics.median(after):.1f} {unit}, ratio {ratio:.3f}"
        )


def _print_results(pictures: list[Path], results: Path, clean: Path | None) -> None:
    read = {
        side: [read_picture(results / side / picture.name).pixels for picture in pictures]
        for side in ("before", "after")
    }
    apart = [psnr(a, b) for a, b in zip(read["before"], read["after"], strict=True)]
    print(f"results {statistics.mean(apart):.2f} dB apart")
    if clean is not None:
        named = {path.stem: path for path in clean.iterdir() if is_image_name(path)}
        targets = [read_picture(named[picture.stem]).pixels for picture in pictures]
        for side, restored in read.items():
            scores = [psnr(a, b) for a, b in zip(restored, targets, strict=True)]
            print(f"{side}: {statistics.mean(scores):.3f} dB")


if __name__ == "__main__":
    main()
