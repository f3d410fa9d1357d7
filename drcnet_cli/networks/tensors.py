"""Tensors to a file, such that a full disk is an OSError and a kill leaves nothing unknown behind.

safetensors' own `save_file` writes a temporary file of its own beside the target, under a name
that tells nothing (`.tmpwq9eZT`), and raises SafetensorError, not OSError, where a disk is full.
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor


def dump_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write contiguous tensors as safetensors into `path`, not atomically; raises OSError.

    All of the file is in memory for the while.
    """
    path.write_bytes(save(dict(tensors), dict(metadata)))
