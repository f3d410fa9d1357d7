"""What computes a network instead of torch, if it is wanted and installed: always on the CPU.

How torch itself is given work on a device is in `queues` and `graphs`.

| name       | library      | number types      | extra              |
|------------|--------------|-------------------|--------------------|
| `onnx`     | onnxruntime  | float32           | `drcnet[onnx]`     |
| `openvino` | openvino     | float32, bfloat16 | `drcnet[openvino]` |
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from drcnet_cli.errors import DeviceError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from drcnet_cli.networks.checkpoint import CheckpointInfo

TORCH = "torch"


@dataclass(frozen=True)
class Needs:
    """The modules that a backend needs besides the core, and the number types it computes in."""

    modules: tuple[str, ...]
    dtypes: tuple[str, ...]


BACKENDS = {
    "onnx": Needs(("onnx", "onnxruntime"), ("float32",)),
    "openvino": Needs(("onnx", "openvino"), ("float32", "bfloat16")),
}


class Engine(Protocol):
    """Computes one network: N x 3 x H x W float32 on the CPU -> the same, not clipped."""

    name: str

    def __call__(self, batch: "Tensor", dtype: "torch.dtype") -> "Tensor":
        """Compute in `dtype`; MemoryError if it does not fit the memory."""
        ...


def check_backend(name: str, device: str, dtype: str) -> tuple[str, str]:
    """Return the device and number type that a backend makes of what was asked for.

    Raises UsageError for an unknown backend and one that is not installed, DeviceError for a device
    or type that it lacks.
    """
    if name == TORCH:
        return device, dtype
    check_installed(name)
    if device not in ("auto", "cpu"):
        raise DeviceError(
            f"The backend {name} computes on the CPU alone, not on {device}.", "Use --device cpu"
        )
    dtypes = BACKENDS[name].dtypes
    if dtype != "auto" and dtype not in dtypes:
        raise DeviceError(
            f"The backend {name} computes in {' or '.join(dtypes)}, not in {dtype}.",
            f"Use --dtype {dtypes[-1]}",
        )
    return "cpu", dtypes[0] if len(dtypes) == 1 else dtype


def check_installed(name: str) -> None:
    """Raise UsageError for an unknown backend, and for one whose libraries are not installed."""
    if name not in BACKENDS:
        raise UsageError(
            f"Unknown backend {name!r}.", f"Use --backend {TORCH}, {', '.join(BACKENDS)}"
        )
    for module in BACKENDS[name].modules:
        if find_spec(module) is None:
            raise _missing(module, name)


def make_engine(name: str, network: "nn.Module", info: "CheckpointInfo") -> Engine:
    """Make an engine of `BACKENDS` for a network, with the weights that it has now.

    Raises UsageError if it is not installed, or not for this kind of network.
    """
    check_installed(name)
    from drcnet_cli.engines.onnx_model import build_onnx
    from drcnet_cli.engines.runtimes import RuntimeEngine, best_opset

    model = build_onnx(network, info, opset=best_opset(name)).SerializeToString()
    return RuntimeEngine(name, model, info.config.multiple)


def load_library(module: str, extra: str) -> ModuleType:
    """Import a library of an extra; raise UsageError that says what to type where it fails."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise _missing(module, extra) from error
    except ImportError as error:
        raise UsageError(
            f"{module} is installed, but cannot be loaded: {error}.",
            f"pip install --force-reinstall {module}",
        ) from error


def _missing(module: str, extra: str) -> UsageError:
    return UsageError(
        f"{module} is not installed; it comes with the extra {extra!r}.",
        f"pip install 'drcnet[{extra}]'",
    )
