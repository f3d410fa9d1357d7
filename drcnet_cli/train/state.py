"""The state of a run: all that is needed to go on exactly where it was, in one safetensors file.

There is no state of random numbers: data, degradations and losses draw from seeds made of the run's
seed and the sample's or step's number.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.networks.checkpoint import dump_tensors
from drcnet_cli.text import shorten

STATE_NAME = "state.safetensors"
PREVIOUS_NAME = "state.previous.safetensors"
_METADATA_KEY = "drcnet_training_state"
_FORMAT = 1


@dataclass
class Progress:
    """How far a run has come.

    `samples`: number of the next sample; `elapsed`: seconds of training, over all resumptions;
    `best`: highest validation PSNR so far; `skipped`: steps left out for non-finite gradients;
    `skipped_in_row`: those since the last good step; `patch`: side of the patches of the last step.
    """

    step: int = 0
    samples: int = 0
    elapsed: float = 0.0
    best: float | None = None
    skipped: int = 0
    skipped_in_row: int = 0
    patch: int = 0


@dataclass(frozen=True)
class State:
    """A run at one step: `tensors` by part (network, average), the optimiser's state, the rest."""

    progress: Progress
    config: dict[str, Any]
    parts: dict[str, dict[str, Tensor]]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]


def save_state(folder: Path, state: State) -> None:
    """Write the folder's state file; the one before is kept beside it."""
    tensors = {
        f"{part}/{name}": value.detach().cpu().contiguous()
        for part, values in state.parts.items()
        for name, value in values.items()
    }
    for number, values in state.optimizer["state"].items():
        for name, value in values.items():
            tensors[f"optimizer/{number}/{name}"] = value.detach().cpu().contiguous()
    description = json.dumps(
        {
            "format": _FORMAT,
            "progress": asdict(state.progress),
            "config": state.config,
            "param_groups": state.optimizer["param_groups"],
            "scaler": state.scaler,
        }
    )
    path, previous = folder / STATE_NAME, folder / PREVIOUS_NAME
    with atomic_write(path) as temporary:
        dump_tensors(temporary, tensors, {_METADATA_KEY: description})
        # Only now, with the new state whole on disk: at each moment one of the two names is good.
        if path.exists():
            path.replace(previous)


def load_state(path: Path) -> State:
    """Read a state file; raises CheckpointFormatError if it is missing, damaged or another kind."""
    if not path.is_file():
        raise CheckpointFormatError(
            f"There is no training state {path}.", f"Name a run's {STATE_NAME}, or --resume auto"
        )
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[_METADATA_KEY])
            tensors: Mapping[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if description["format"] != _FORMAT:
            raise CheckpointFormatError(f"{path} is the state of another version's training.")
        parts: dict[str, dict[str, Tensor]] = {}
        optimizer: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            part, _, name = key.partition("/")
            if part == "optimizer":
                number, _, entry = name.partition("/")
                optimizer.setdefault(int(number), {})[entry] = value
            else:
                parts.setdefault(part, {})[name] = value
        return State(
            Progress(**description["progress"]),
            description["config"],
            parts,
            {"state": optimizer, "param_groups": description["param_groups"]},
            description["scaler"],
        )
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, AttributeError,
            RecursionError) as error:  # fmt: skip
        raise not_a_state(path, shorten(str(error))[1:-1]) from error


def not_a_state(path: Path, reason: str) -> CheckpointFormatError:
    """Return (not raise) the error for a file that no run can go on from."""
    previous = path.with_name(PREVIOUS_NAME)
    return CheckpointFormatError(
        f"{path} is not a whole training state ({reason}).",
        f"Try the one before it: --resume {previous}"
        if previous.is_file() and previous != path
        else "To begin anew: --resume never",
    )


def find_state(folder: Path) -> Path | None:
    """Return the newest state file of a run's folder, if any."""
    for name in (STATE_NAME, PREVIOUS_NAME):
        if (folder / name).is_file():
            return folder / name
    return None


def torch_seed(seed: int, step: int, process: int) -> None:
    """Seed torch for one step of one process, so that losses which draw need no saved state."""
    mixed = (seed * 1_000_003 + step) * 1_009 + process
    torch.manual_seed(mixed & 0x7FFF_FFFF_FFFF_FFFF)
