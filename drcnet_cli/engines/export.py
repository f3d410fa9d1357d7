"""A checkpoint becomes a file for another program, which is kept only if that computes alike."""

import copy
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from drcnet_cli.engines import load_library
from drcnet_cli.engines.onnx_model import OLDEST_OPSET, build_onnx, metadata
from drcnet_cli.engines.onnxruntime import OnnxRuntime
from drcnet_cli.engines.openvino import OpenVinoRuntime
from drcnet_cli.engines.parity import TOLERANCE, Comparison, check_parity
from drcnet_cli.engines.shape import Shape
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.weights.fetch import resolve
from drcnet_cli.weights.store import describe_file


@dataclass(frozen=True)
class Exported:
    """What was written: `file`, and for OpenVINO the weights beside it, `bytes` in all."""

    file: Path
    format: str
    name: str
    bytes: int
    parity: list[Comparison]

    def record(self) -> dict[str, Any]:
        """Give the values for JSON."""
        return {**asdict(self), "file": str(self.file), "tolerance": TOLERANCE}


def export(
    checkpoint: str | Path,
    destination: Path,
    format: str,
    *,
    shape: Shape | None = None,
    opset: int = OLDEST_OPSET,
    half: bool = False,
    hub_repo: str | None = None,
    offline: bool = False,
    check: Callable[[CheckpointInfo], None] = lambda _: None,
) -> Exported:
    """Write a checkpoint (as `load_model` takes it) as `onnx` or `openvino`, checked for parity.

    `half` stores weights as float16; computed is in float32. The file is compared with the network
    that has these weights. `check` sees the checkpoint's description and may raise.

    Raises UsageError, WeightsError, and ParityError, which leaves nothing written.
    """
    shape = shape or Shape()
    found = resolve(checkpoint, hub_repo=hub_repo, offline=offline)
    network, info = load_checkpoint(found.path)
    check(info)
    sha256 = describe_file(found.path).sha256
    model = build_onnx(network, info, shape=shape, opset=opset, half=half, sha256=sha256)
    reference = _rounded(network) if half else network
    write = _write_onnx if format == "onnx" else _write_openvino
    parity = write(model.SerializeToString(), destination, reference, shape, metadata(info, sha256))
    files = [destination] if format == "onnx" else [destination, weights_beside(destination)]
    size = sum(file.stat().st_size for file in files)
    return Exported(destination, format, info.name, size, parity)


def weights_beside(destination: Path) -> Path:
    """Give the file of weights that belongs to an OpenVINO model."""
    return destination.with_suffix(".bin")


def _write_onnx(
    model: bytes, destination: Path, network: DRCNet, shape: Shape, _facts: dict[str, str]
) -> list[Comparison]:
    with atomic_write(destination) as temporary:
        temporary.write_bytes(model)
        return check_parity(network, OnnxRuntime(temporary, torch.get_num_threads()), shape)


def _write_openvino(
    model: bytes, destination: Path, network: DRCNet, shape: Shape, facts: dict[str, str]
) -> list[Comparison]:
    openvino = load_library("openvino", "openvino")
    with tempfile.TemporaryDirectory(prefix="drcnet-export-") as folder:
        made = Path(folder) / "model.xml"
        graph = openvino.Core().read_model(model)
        for key, text in facts.items():
            graph.set_rt_info(text, ["drcnet", key])
        openvino.serialize(graph, str(made), str(weights_beside(made)))
        parity = check_parity(network, OpenVinoRuntime(made, torch.get_num_threads()), shape)
        # Weights first: a description without them would be a broken model.
        _place(weights_beside(made), weights_beside(destination))
        _place(made, destination)
    return parity


def _place(source: Path, destination: Path) -> None:
    with atomic_write(destination) as temporary:
        shutil.copyfile(source, temporary)


def _rounded(network: DRCNet) -> DRCNet:
    """Give a copy whose weights have float16's values."""
    return copy.deepcopy(network).half().float()
