"""PyAV, which is an extra: how it is loaded, and names for its objects."""

from types import ModuleType
from typing import Any, TypeAlias

from drcnet_cli.errors import import_extra

# PyAV's own types cannot be named where it is not installed.
Container: TypeAlias = Any
Frame: TypeAlias = Any
Packet: TypeAlias = Any
PixelFormat: TypeAlias = Any
Stream: TypeAlias = Any


def load_av() -> ModuleType:
    """Import PyAV; raises UsageError where it is not installed."""
    return import_extra("av", "video", "Videos take one more package to read.")
