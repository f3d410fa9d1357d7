"""Fixtures that several test modules share."""

import os
import subprocess
import sys
from pathlib import Path

from drcnet_cli import settings

settings.share_processors()  # before torch is loaded, as the command does

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from drcnet_cli.networks.checkpoint import CheckpointInfo, save_checkpoint  # noqa: E402
from drcnet_cli.networks.drcnet import DRCNetConfig  # noqa: E402
from drcnet_cli.networks.drcnet.network import DRCNet  # noqa: E402

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory) -> Path:
    """Return a checkpoint of a network that is nearly the identity and takes no time."""
    torch.manual_seed(0)
    net = DRCNet(DRCNetConfig(width=2, depth=1))
    with torch.no_grad():
        for layer in (net.to_residual, net.sam.to_image):
            layer.weight.mul_(0.01)
            layer.bias.zero_()
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, net.state_dict(), CheckpointInfo(net.config, "tiny", training_patch=64))
    return path


@pytest.fixture
def drcnet(tmp_path):
    """Return a function that runs the command as a process, in tmp_path, with no network."""

    def run(*arguments, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            command(*arguments),
            **{
                "cwd": tmp_path,
                "env": environment(tmp_path),
                "capture_output": True,
                "text": True,
                "encoding": "utf-8",
                "timeout": 120,
                **options,
            },
        )

    return run


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Give the test a cache folder, with a journal of runs, of its own."""
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / ".cache"))


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "drcnet_cli", *map(str, arguments)]


def environment(folder: Path, **more) -> dict[str, str]:
    """Return a process's environment: its own cache, no hub, no settings of the user's."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("DRCNET_", "HF_"))}
    return {
        **kept,
        "DRCNET_CACHE": str(folder / ".cache"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "COLUMNS": "100",
        **more,
    }


def photograph(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """Make a smooth picture with some grain: H x W x 3 uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / rng.uniform(5, 30) + y / rng.uniform(5, 30) + k) for k in range(3)]
    image = 128 + 70 * np.stack(waves, axis=2) + rng.normal(0, 8, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8)


def save_photograph(path: Path, **size) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photograph(**size)).save(path)
    return path


@pytest.fixture
def memory():
    """Return fsspec's file system of this process, empty."""
    import fsspec

    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()
