"""A checkpoint becomes a file for another program, which is kept only if that computes alike.

The parity check: the file is run by that program, and compared with our network.
"""

import copy
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from drcnet_cli.engines import load_library
from drcnet_cli.engines.onnx_model import Shape, build_onnx, metadata
from drcnet_cli.engines.runtimes import OnnxRuntime, OpenVinoRuntime, Runtime
from drcnet_cli.errors import DrcnetError, UsageError
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint
from drcnet_cli.networks.graph import OLDEST_OPSET
from drcnet_cli.weights.fetch import resolve
from drcnet_cli.weights.store import describe_file

TOLERANCE = 1e-4  # of float32 values in 0..1; a step of 8 bits is 40 times that
# What lies on a threshold may fall on either side of it, for good reason.
CLEARANCE = 1e-5
PICTURES_TRIED = 8


class ParityError(DrcnetError):
    """An exported file does not compute what our network does."""


@dataclass(frozen=True)
class Difference:
    """One batch computed by both: the largest difference, and the PSNR for a peak of 1, in dB."""

    shape: tuple[int, int, int, int]
    max_error: float
    psnr: float


Compare = Callable[[Runtime], list[Difference]]


@dataclass(frozen=True)
class Exported:
    """What was written: `file`, and for OpenVINO the weights beside it, `bytes` in all."""

    file: Path
    format: str
    name: str
    bytes: int
    parity: list[Difference]

    def record(self) -> dict[str, Any]:
        """Return the values for JSON."""
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
    task: str | None = None,
) -> Exported:
    """Write a checkpoint (as `load_model` takes it) as `onnx` or `openvino`, checked for parity.

    `half` stores weights as float16; computed is in float32. The file is compared with the network
    that has these weights. `task`: what it must be made for; None: anything.

    Raises UsageError, WeightsError, and ParityError, which leaves nothing written.
    """
    shape = shape or Shape()
    found = resolve(checkpoint, hub_repo=hub_repo, offline=offline)
    network, info = load_checkpoint(found.path)
    info.check_task(task)
    sha256 = describe_file(found.path).sha256
    model = build_onnx(network, info, shape=shape, opset=opset, half=half, sha256=sha256)
    # Of a file with weights of float16 the network is to be compared that has their values.
    reference = copy.deepcopy(network).half().float() if half else network
    compare = partial(check_parity, reference, info, shape)
    if format == "onnx":
        with atomic_write(destination) as temporary:
            temporary.write_bytes(model.SerializeToString())
            parity = compare(OnnxRuntime(temporary, torch.get_num_threads()))
    else:
        facts = metadata(info, sha256)
        parity = _write_openvino(model.SerializeToString(), destination, compare, facts)
    files = [destination] if format == "onnx" else [destination, weights_beside(destination)]
    size = sum(file.stat().st_size for file in files)
    return Exported(destination, format, info.name, size, parity)


def weights_beside(destination: Path) -> Path:
    """Name the file of weights that belongs to an OpenVINO model."""
    return destination.with_suffix(".bin")


def _write_openvino(
    model: bytes, destination: Path, compare: Compare, facts: dict[str, str]
) -> list[Difference]:
    openvino = load_library("openvino", "openvino")
    with tempfile.TemporaryDirectory(prefix="drcnet-export-") as folder:
        made = Path(folder) / "model.xml"
        try:
            graph = openvino.Core().read_model(model)
        except RuntimeError as error:  # its reader lacks an operator
            raise UsageError(
                "OpenVINO cannot read this network in the operator set asked for.",
                f"Use --opset {OLDEST_OPSET}",
            ) from error
        for key, text in facts.items():
            graph.set_rt_info(text, ["drcnet", key])
        openvino.serialize(graph, str(made), str(weights_beside(made)))
        parity = compare(OpenVinoRuntime(made, torch.get_num_threads()))
        # Weights first: a description without them would be a broken model.
        _place(weights_beside(made), weights_beside(destination))
        _place(made, destination)
    return parity


def _place(source: Path, destination: Path) -> None:
    with atomic_write(destination) as temporary:
        shutil.copyfile(source, temporary)


def check_parity(
    network: nn.Module, info: CheckpointInfo, shape: Shape, run: Runtime
) -> list[Difference]:
    """Compare with another program on several sizes, as far as the file's shape allows, in float32.

    Raises ParityError if a value differs by more than TOLERANCE, or the result has another shape.
    """
    comparisons = []
    for size in parity_shapes(shape, info.config.multiple):
        pictures = clear_pictures(network, info, size)
        with torch.inference_mode():
            expected = network(pictures).double().numpy()
        restored = run(pictures.numpy())
        if restored.shape != expected.shape:
            raise ParityError(f"The exported file gives {restored.shape} for {expected.shape}.")
        error = np.abs(restored - expected)
        psnr = -10 * np.log10(max(np.mean(error**2), 1e-20))
        difference = Difference(size, float(error.max()), float(psnr))
        if not difference.max_error <= TOLERANCE:  # NaN is no parity
            raise ParityError(
                f"The exported file differs from our network by {difference.max_error:.1e} for "
                f"{'x'.join(map(str, size))}, more than {TOLERANCE:.0e}.",
                "It was not kept; other versions of the runtime may compute rightly.",
            )
        comparisons.append(difference)
    return comparisons


def parity_shapes(shape: Shape, multiple: int) -> list[tuple[int, int, int, int]]:
    """List the smallest size, a batch, a large and a wide one, with what is fixed filled in."""
    wanted = [(1, 1, 1), (3, 64, 48), (1, 96, 192), (1, 128, 128)]
    sizes = []
    for batch, height, width in wanted:
        height, width = (-(-side // multiple) * multiple for side in (height, width))
        size = (shape.batch or batch, 3, shape.height or height, shape.width or width)
        sizes.append(size)
    return list(dict.fromkeys(sizes))


def clear_pictures(
    network: nn.Module, info: CheckpointInfo, size: tuple[int, int, int, int]
) -> Tensor:
    """Draw pictures with which the network's decisions are beyond doubt: none is near a threshold.

    Of a few that were tried, those farthest from it, where none is far enough.
    """
    margins = info.architecture.decision_margins
    if margins is None:  # it decides nothing
        return draw_pictures(size, 0)
    best, farthest = torch.empty(0), -1.0
    for seed in range(PICTURES_TRIED):
        pictures = draw_pictures(size, seed)
        with margins(network) as distances, torch.inference_mode():
            network(pictures)
        distance = min(distances, default=1.0)
        if distance > farthest:
            best, farthest = pictures, distance
        if distance > CLEARANCE:
            break
    return best


def draw_pictures(size: tuple[int, int, int, int], seed: int) -> Tensor:
    """Draw smooth waves with grain, N x 3 x H x W in 0..1."""
    rng = np.random.default_rng(seed)
    count, channels, height, width = size
    y, x = np.mgrid[0:height, 0:width]
    pictures = np.empty(size, np.float32)
    for index in range(count * channels):
        wave = np.sin(x / rng.uniform(3, 30) + y / rng.uniform(3, 30) + rng.uniform(0, 6))
        grain = rng.normal(0, rng.uniform(0.01, 0.15), (height, width))
        pictures[index // channels, index % channels] = 0.5 + 0.3 * wave + grain
    return torch.from_numpy(pictures.clip(0, 1))
