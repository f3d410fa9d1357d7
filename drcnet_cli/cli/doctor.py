"""`drcnet doctor`: what this machine has, and what is wrong with it."""

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from drcnet_cli import settings
from drcnet_cli.cli._options import JsonOption
from drcnet_cli.cli._output import note, print_json
from drcnet_cli.version import __version__
from drcnet_cli.weights import fetch
from drcnet_cli.weights.manifest import load_manifest

if TYPE_CHECKING:
    import torch

# The last three: what --backend and export can use.
LIBRARIES = (
    "numpy", "pillow", "opencv-python-headless", "huggingface-hub", "safetensors", "typer",
    "onnx", "onnxruntime", "openvino",
)  # fmt: skip


def doctor(as_json: JsonOption = False) -> None:
    """Report Python, torch, devices, cache and checkpoints, and warn of what is amiss."""
    facts, warnings = _facts(), _warnings()
    if as_json:
        print_json({**facts, "warnings": warnings})
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            lines = [f"{key}: {item}" for key, item in value.items()]
        else:
            lines = value if isinstance(value, list) else [str(value)]
        for index, line in enumerate(lines):
            typer.echo(f"{name if index == 0 else '':24}{line}")
    for warning in warnings:
        note(f"Warning: {warning}")


def _facts() -> dict[str, Any]:
    """Look at this machine, in the order to be shown; changes nothing and uses no network."""
    import torch

    devices = [torch.device("cpu")]
    devices += [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append(torch.device("mps"))
    return {
        "drcnet": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "torch": torch.__version__,
        **{name: _version(name) for name in LIBRARIES},
        "devices": [_describe(device) for device in devices],
        "cpu threads": torch.get_num_threads(),
        "cache": _cache(settings.cache_dir()),
        "hub repository": settings.hub_repo() or "none ($DRCNET_HUB_REPO)",
        "checkpoints": {item.name: fetch.locate(item) for item in load_manifest().checkpoints},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _describe(device: "torch.device") -> str:
    import torch

    from drcnet_cli.device import has_fast_bfloat16

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
    from drcnet_cli.device import cpu_only_torch_beside_nvidia

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
