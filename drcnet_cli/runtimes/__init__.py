"""What computes a network instead of torch, if it is wanted and installed: always on the CPU.

| name       | library      | number types      | extra              |
|------------|--------------|-------------------|--------------------|
| `onnx`     | onnxruntime  | float32           | `drcnet[onnx]`     |
| `openvino` | openvino     | float32, bfloat16 | `drcnet[openvino]` |
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from drcnet_cli.errors import UsageError

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


def check_installed(name: str) -> None:
    """Raise UsageError for an unknown backend, and for one whose libraries are not installed."""
    if name not in BACKENDS:
        raise UsageError(
            f"Unknown backend {name!r}.", f"Use --backend {TORCH}, {', '.join(BACKENDS)}"
        )
    for module in BACKENDS[name].modules:
        if find_spec(module) is None:
            raise _missing(module, name)


def load_library(module: str, extra: str) -> ModuleType:
    """Import a library of an extra; raise UsageError that says how to install it."""
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
