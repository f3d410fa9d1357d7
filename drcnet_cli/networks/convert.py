"""Checkpoints of released code (PyTorch pickles) become this package's safetensors.

Accepted: a state dict, bare or under `params`, `params_ema` (BasicSR) or `state_dict`, with or
without `module.` prefixes. Its names are translated by the network's own `convert`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError, UsageError
from drcnet_cli.networks import DEFAULT_NETWORK, NETWORKS
from drcnet_cli.networks.checkpoint import CheckpointInfo, save_checkpoint
from drcnet_cli.networks.pth import read_state_dict
from drcnet_cli.tasks import TASKS

# In the order in which they are looked for: an averaged (EMA) model is the better one.
_CONTAINERS = ("params_ema", "params", "state_dict")
_TITLES = " or ".join(network.title for network in NETWORKS.values() if network.convert)


def read_released(path: Path, title: str = _TITLES) -> dict[str, Tensor]:
    """Read the state dict of a released-format file, without running any code it may hold.

    `title`: the networks', for the hint. Raises CheckpointFormatError for anything but a dictionary
    of tensors.
    """
    advice = f"Give a checkpoint of the released {title} code: a .pth file with a state dict."
    tensors = read_state_dict(path, _CONTAINERS, advice)
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def convert_file(
    source: Path,
    destination: Path,
    *,
    network: str | None = None,
    name: str = "",
    task: str | None = None,
    training_patch: int | None = None,
    provenance: Mapping[str, str] | None = None,
    half: bool = True,
    overwrite: bool = False,
    **options: Any,  # noqa: ANN401 - what this network's state dict does not hold
) -> CheckpointInfo:
    """Convert a released-format file; the result records its source's name and sha256.

    `network`: a name of NETWORKS; by default, the one whose tensors these are. `provenance` adds
    facts of the caller's (licence, training data). `half` stores float16. `options` are those of
    the network's `convert`. Raises CheckpointFormatError for a bad source, UsageError if the
    destination is there already and `overwrite` is not set, is not named .safetensors, or cannot be
    written, and for a network without released checkpoints.
    """
    if network is not None and NETWORKS[network].convert is None:
        title = NETWORKS[network].title
        raise UsageError(f"There are no released checkpoints of {title} to convert.")
    _check_destination(destination, overwrite)
    if task is not None and task not in TASKS:
        raise UsageError(f"Unknown task {task!r}.", f"Use one of {', '.join(TASKS)}")
    released = read_released(source, NETWORKS[network].title if network else _TITLES)
    kind = network or _kind_of(released)
    convert = NETWORKS[kind].convert
    assert convert is not None
    try:
        config, state = convert(released, **options)
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{source}: {error.message}", error.hint) from error
    facts = {
        **(provenance or {}),
        "converted_from": source.name,
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }
    info = CheckpointInfo(config, name or destination.stem, task, training_patch, facts, kind)
    try:
        save_checkpoint(destination, state, info, dtype=torch.float16 if half else torch.float32)
    except OSError as error:
        raise UsageError(
            f"{destination} cannot be written: {error.strerror}.", "Give another output"
        ) from error
    return info


def _kind_of(released: Mapping[str, Tensor]) -> str:
    """Return the network whose released code wrote a state dict; if none did, the default one."""
    kinds = (kind for kind, own in NETWORKS.items() if own.recognise and own.recognise(released))
    return next(kinds, DEFAULT_NETWORK)


def _check_destination(destination: Path, overwrite: bool) -> None:
    if destination.suffix != ".safetensors":
        raise UsageError(
            f"The output {destination} is not named .safetensors.",
            f"Use {destination.with_suffix('.safetensors')}",
        )
    if destination.exists() and not overwrite:
        raise UsageError(f"{destination} exists already.", "Use --overwrite to replace it")
