"""This package's networks as architectures of spandrel, which chaiNNer and ComfyUI load models by.

spandrel hands an architecture the tensors of a file alone, without the description that our files
carry. Tensors tell sizes, but no thresholds or limits: those are taken from the checkpoint here
that has the same tensors. Of an unknown one they are guessed, with a warning.
"""

import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError, import_extra
from drcnet_cli.networks import NETWORKS, Architecture, NetworkConfig
from drcnet_cli.networks.checkpoint import CheckpointInfo, match_tensors, read_info
from drcnet_cli.weights.manifest import load_manifest
from drcnet_cli.weights.store import bundled_path, cached_path

spandrel: Any = import_extra("spandrel", "spandrel", "Loading by spandrel needs spandrel.")

StateDict = Mapping[str, Tensor]


class NetworkArch(spandrel.Architecture):
    """One network of `NETWORKS` as spandrel sees it; `known`: the checkpoints told of by name."""

    def __init__(self, kind: Architecture) -> None:
        super().__init__(id=f"drcnet-{kind.name}", name=kind.title, detect=self._fits)
        self.kind = kind
        self.known: list[Path] = []

    def load(self, state_dict: StateDict) -> Any:  # noqa: ANN401 - spandrel's descriptor
        """Build the network that has these tensors: spandrel's ImageModelDescriptor.

        Warns where the tensors are of no known checkpoint and do not tell everything.
        """
        info = self._find(state_dict)
        if info is None:
            config, unread = self._read(state_dict)
            info = CheckpointInfo(config, arch=self.kind.name)
            if unread:
                warnings.warn(_guessed(config, unread), RuntimeWarning, stacklevel=3)
        return spandrel.ImageModelDescriptor(
            self.kind.build(info.config),
            dict(state_dict),
            architecture=self,
            purpose="Restoration",
            tags=[text for text in (info.name, info.task, info.config.summary) if text],
            supports_half=True,
            supports_bfloat16=True,
            scale=1,
            input_channels=3,
            output_channels=3,
            size_requirements=spandrel.SizeRequirements(multiple_of=info.config.multiple),
            tiling=spandrel.ModelTiling.SUPPORTED,
        )

    def _fits(self, state: StateDict) -> bool:
        """Tell whether names and shapes are those of this network, in the size that they tell."""
        try:
            config, _ = self._read(state)
        except (KeyError, ValueError, IndexError, AttributeError, CheckpointFormatError):
            return False
        with torch.device("meta"):
            expected = self.kind.build(config).state_dict()
        return _shapes(expected) == _shapes(state)

    def _read(self, state: StateDict) -> tuple[NetworkConfig, list[str]]:
        """Return the configuration by the tensors, and the fields that they do not tell."""
        assert self.kind.read_sizes is not None
        told = self.kind.read_sizes(state)
        config = self.kind.config_type(**told)
        return config, [field.name for field in fields(config) if field.name not in told]

    def _find(self, state: StateDict) -> CheckpointInfo | None:
        """Return what is known of these tensors, whatever number type they were loaded in."""
        entries = (item for item in load_manifest().checkpoints if item.arch == self.kind.name)
        own = (place(item) for item in entries for place in (bundled_path, cached_path))
        there = filter(Path.is_file, (*self.known, *own))
        return next(filter(None, (match_tensors(path, state) for path in there)), None)


def install(*checkpoints: str | Path, registry: Any = spandrel.MAIN_REGISTRY) -> None:  # noqa: ANN401
    """Let spandrel load this package's networks, by whichever program; again does no harm.

    `checkpoints`: files of your own, whose descriptions count wherever their tensors are loaded.
    Raises CheckpointFormatError for one that is no checkpoint of this package.
    """
    described = [(Path(path), read_info(Path(path)).arch) for path in checkpoints]
    for kind in NETWORKS.values():
        if kind.read_sizes is None:
            continue
        arch = NetworkArch(kind)
        registry.add(spandrel.ArchSupport.from_architecture(arch), ignore_duplicates=True)
        arch = registry[arch.id].architecture
        arch.known += [path for path, name in described if name == kind.name]


def _shapes(state: StateDict) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def _guessed(config: NetworkConfig, unread: list[str]) -> str:
    taken = ", ".join(f"{name} {getattr(config, name)}" for name in unread)
    return (
        f"These tensors are of no checkpoint that is known here and do not tell all; taken: {taken}"
        ". To have the file's own: drcnet_cli.integrations.spandrel.install(FILE)"
    )
