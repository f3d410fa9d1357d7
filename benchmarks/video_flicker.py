"""How much a still scene flickers, before and after restoring: python benchmarks/video_flicker.py

A photograph with noise of its own in every frame is written as a video, restored by
`restore_videos`, and compared from frame to frame: the mean absolute difference of successive
frames, in steps of 255, without noise 0. `error` is the one from the photograph.
"""

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from drcnet_cli.degrade import DEGRADATIONS
from drcnet_cli.degrade.camera import CameraParams, add_camera_noise
from drcnet_cli.files.plan import Job
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.restore.outcome import RunObserver, WriteOptions
from drcnet_cli.video.restore import restore_videos

# One ISO, and noise as it leaves the sensor's mosaic.
CAMERA = CameraParams((5e-3, 5e-3), soften_share=0, zoom_share=0, smooth_share=0, jpeg_share=0)
NOISES = {
    "white, sigma 15": DEGRADATIONS["gaussian-15"],
    "white, sigma 25": DEGRADATIONS["gaussian-25"],
    "a camera's": lambda image, rng: add_camera_noise(image, rng, CAMERA),
}


def main() -> None:
    """Print a table of flicker and error for each kind of noise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photograph", nargs="?", default="examples/clean/parrots.jpg", type=Path)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--crf", help="Write the noisy video as H.264, 4:2:0, not without loss.")
    parser.add_argument("--model", default="drcnet-s-denoise")
    options = parser.parse_args()
    image = Image.open(options.photograph).convert("RGB").resize((320, 240), Image.Resampling.BOX)
    clean = np.asarray(image)
    print("| noise | flicker before | after | error before | after |\n|---|---|---|---|---|")
    for kind in NOISES:
        with tempfile.TemporaryDirectory() as name:
            source, result = Path(name) / "noisy.mkv", Path(name) / "restored.mkv"
            write_noisy(source, clean, kind, options.frames, options.crf)
            config = RestoreConfig(options.model, device="cpu")
            (outcome,) = restore_videos(
                [Job(source, result)], config, WriteOptions(), RunObserver(), lambda _: tell
            )
            assert outcome.error is None, outcome.error
            figures = [measure(path, clean) for path in (source, result)]
        cells = [f"{figures[at][what]:.2f}" for what in (0, 1) for at in (0, 1)]
        print(f"| {kind} | {' | '.join(cells)} |")


def write_noisy(path: Path, clean: np.ndarray, kind: str, frames: int, crf: str | None) -> None:
    """Write a still scene whose frames have noise of their own; without `crf` as FFV1, 4:4:4."""
    image = np.moveaxis(clean, 2, 0).astype(np.float32) / 255
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264" if crf else "ffv1", rate=25)
        video.options = {"crf": crf} if crf else {}
        video.height, video.width = clean.shape[:2]
        video.pix_fmt = "yuv420p" if crf else "yuv444p"
        for number in range(frames):
            noisy = NOISES[kind](image, np.random.default_rng(number)).degraded
            pixels = np.rint(255 * np.moveaxis(noisy, 0, 2).clip(0, 1)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def measure(path: Path, clean: np.ndarray) -> tuple[float, float]:
    """Return a video's flicker, and how far it is from the photograph."""
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24").astype(float) for f in container.decode(video=0)]
    steps = [abs(b - a).mean() for a, b in zip(frames, frames[1:], strict=False)]
    return float(np.mean(steps)), float(np.mean([abs(f - clean).mean() for f in frames]))


def tell(_done: int, _total: int) -> None:
    """Say nothing of progress."""


if __name__ == "__main__":
    main()
