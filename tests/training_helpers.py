"""Small photographs and tiny runs for the tests of training."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drcnet_cli.train.config import TrainConfig

# Small enough for seconds on one core; float32, as bfloat16 hides small differences.
TINY = {
    "task": "denoise",
    "degrade": "gaussian",
    "width": 4,
    "depth": 2,
    "patches": "16x2",
    "val_side": 32,
    "holdout": 0.2,
    "dtype": "float32",
    "device": "cpu",
    "workers": 0,
    "log_every": 1,
    "cache_mb": 16,
}


def picture(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """Make a smooth picture, H x W x 3 uint8, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def write_picture(path: Path, seed: int, height: int = 40, width: int = 48) -> Path:
    """Write `picture` as a PNG or whatever the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, height, width)).save(path)
    return path


def photographs(folder: Path, count: int = 8) -> Path:
    """Write a folder of photographs."""
    for number in range(count):
        write_picture(folder / f"{number:02}.png", number)
    return folder


def tiny(clean: Path, out: Path, /, **settings: object) -> TrainConfig:
    """Return the configuration of a tiny run on a folder of photographs."""
    values = {**TINY, "clean": (str(clean),), "out": str(out), **settings}
    return TrainConfig.from_mapping(values)


def flags(**settings: object) -> list[str]:
    """Return settings as `drcnet train` takes them."""
    given = []
    for name, value in settings.items():
        given += [f"--{name.replace('_', '-')}", str(value)]
    return given


class Killed(BaseException):
    """What stops a run at once, as a kill does: nothing is saved on the way out."""


def stop_at(
    monkeypatch: pytest.MonkeyPatch, step: int, kind: "type[Killed] | signal.Signals"
) -> None:
    """Let the next run end by `kind` after so many steps."""
    from drcnet_cli.train import loop  # loads torch, which tests of folders need not

    plain = loop.Training._after_step

    def after_step(self: loop.Training, phase: object, rate: float) -> None:
        plain(self, phase, rate)
        if self.progress.step == step:
            monkeypatch.setattr(loop.Training, "_after_step", plain)
            if kind is Killed:
                raise Killed
            os.kill(os.getpid(), kind)

    monkeypatch.setattr(loop.Training, "_after_step", after_step)


def environment() -> dict[str, str]:
    """Return a child process this package, and one thread: tests share the machine."""
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def start_training(*arguments: str, launcher: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    """Start `drcnet train` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "drcnet_cli", "train", *arguments],
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
