"""How much memory a video takes, short and ten times as long: python benchmarks/video_memory.py

Each clip is restored by `drcnet restore` in a process of its own, whose highest memory is printed.
"""

import argparse
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def main() -> None:
    """Print the highest memory of a process for each length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60, help="Of the short clip.")
    parser.add_argument("--size", type=int, nargs=2, default=(320, 240), metavar="PIXELS")
    options = parser.parse_args()
    print("| frames | highest memory |\n|---|---|")
    for frames in (options.frames, 10 * options.frames):
        with tempfile.TemporaryDirectory() as name:
            write_clip(Path(name) / "clip.mp4", frames, *options.size)
            print(f"| {frames} | {peak_of_restoring(Path(name)) / 2**20:.0f} MiB |", flush=True)


def write_clip(path: Path, frames: int, width: int, height: int) -> None:
    """Write a video of moving stripes with noise."""
    y, x = np.mgrid[0:height, 0:width]
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            image = 128 + 80 * np.sin((x + y + 3 * number) / 20) + rng.normal(0, 15, y.shape)
            pixels = np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def peak_of_restoring(folder: Path) -> int:
    """Restore the clip of a folder in a process; return the most memory that took, in bytes."""
    code = (
        "import resource, sys; from drcnet_cli.cli.app import main\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    call = ("restore", "-q", "-t", "denoise", "--device", "cpu", "clip.mp4", "out.mp4")
    done = subprocess.run(
        [sys.executable, "-c", code, *call], cwd=folder, check=True, capture_output=True
    )
    unit = 1 if sys.platform == "darwin" else 1024  # of `getrusage`
    return int(done.stdout.split()[-1]) * unit


if __name__ == "__main__":
    main()
