"""What `drcnet doctor` finds out: versions, devices, cache and checkpoints of this machine."""

import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from drcnet_cli import settings
from drcnet_cli.device import cpu_only_torch_beside_nvidia, has_fast_bfloat16
from drcnet_cli.version import __version__
from drcnet_cli.weights import fetch
from drcnet_cli.weights.manifest import load_manifest

LIBRARIES = ("numpy", "pillow", "opencv-python-headless", "huggingface-hub", "safetensors", "typer")
EXTRA_LIBRARIES = ("onnx", "onnxruntime", "openvino")  # what --backend and export can use


@dataclass(frozen=True)
class Diagnosis:
    """`facts`: name -> value, in the order to be shown; `warnings`: a sentence each."""

    facts: dict[str, Any]
    warnings: list[str]


def diagnose() -> Diagnosis:
    """Look at this machine; changes nothing and uses no network."""
    facts: dict[str, Any] = {
        "drcnet": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "torch": torch.__version__,
        **{name: _version(name) for name in LIBRARIES + EXTRA_LIBRARIES},
        "devices": _devices(),
        "cpu threads": torch.get_num_threads(),
        "cache": _cache(settings.cache_dir()),
        "hub repository": settings.hub_repo() or "none ($DRCNET_HUB_REPO)",
        "checkpoints": {item.name: fetch.locate(item) for item in load_manifest().checkpoints},
    }
    return Diagnosis(facts, _warnings())


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> list[str]:
    devices = [torch.device("cpu")]
    devices += [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append(torch.device("mps"))
    return [_describe(device) for device in devices]


def _describe(device: torch.device) -> str:
    fast = "bfloat16 in hardware" if has_fast_bfloat16(device) else "no fast bfloat16"
    if device.type != "cuda":
        return f"{device}: {fast}"
    found = torch.cuda.get_device_properties(device)
    return f"{device}: {found.name}, {found.total_memory / 2**30:.0f} GiB, {fast}"


def _cache(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} (not made yet)"
    files = [path for path in folder.rglob("*.safetensors") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return f"{folder} ({len(files)} checkpoints, {size / 1e6:.1f} MB)"


def _warnings() -> list[str]:
    warnings = []
    if cpu_only_torch_beside_nvidia():
        warnings.append(
            "An NVIDIA driver is installed, but this torch is a CPU build: install the CUDA build "
            "that pytorch.org's start page names for your system."
        )
    damaged = [r.name for r in fetch.verify() if r.state == "damaged" or r.is_lost]
    if damaged:
        warnings.append(
            f"Damaged or missing checkpoint: {', '.join(damaged)}. See `drcnet weights verify`."
        )
    return warnings
