"""The state of a run: all that is needed to go on exactly where it was, in one safetensors file.

There is no state of random numbers: data, degradations and losses draw from seeds made of the run's
seed and the sample's or step's number.

A state file may come from anyone: `check_state` compares it with an empty network of the described
shape before a real one is built, so that a file cannot ask for more memory than its own tensors
take. torch checks some of this later, but not the shapes of the optimiser's state, which fused
kernels then trust.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.networks import DEFAULT_NETWORK, NETWORKS, Architecture, NetworkConfig
from drcnet_cli.networks.checkpoint import dump_tensors
from drcnet_cli.text import shorten
from drcnet_cli.train.objective import OBJECTIVES
from drcnet_cli.train.optim import is_matrix

STATE_NAME = "state.safetensors"
PREVIOUS_NAME = "state.previous.safetensors"
_METADATA_KEY = "drcnet_training_state"
_FORMAT = 1
_LARGEST_COUNT = 2**53
_ADAM = {"step", "exp_avg", "exp_avg_sq"}
_MUON, _MUON_ADAM = {"momentum"}, {"step", "mean", "square"}


@dataclass
class TrainingProgress:
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

    progress: TrainingProgress
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
            TrainingProgress(**description["progress"]),
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


def check_state(state: State, optimizer: str) -> None:
    """Raise CheckpointFormatError, which names no file, unless a run could go on from `state`.

    `optimizer`: "adam", "adamw" or "muon", the one that is to go on with it.
    """
    _check_progress(state.progress)
    architecture, shape = described_network(state)
    with torch.device("meta"):
        network = architecture.build(shape)
    expected = network.state_dict()
    for part in ("network", "average"):
        _check_part(state.parts.get(part, {}), expected, part)
    if objective := state.parts.get("objective"):
        own = OBJECTIVES[architecture.name].expected_state(network, objective)
        _check_part(objective, own, "objective")
    parameters = list(network.parameters())
    for number, values in state.optimizer["state"].items():
        if not 0 <= number < len(parameters):
            raise CheckpointFormatError(f"The optimiser's state is of no weight {shorten(number)}.")
        _check_entries(values, parameters[number], optimizer)
    if not isinstance(state.scaler, dict):
        raise CheckpointFormatError("The state of the loss scaling is no object.")


def described_network(state: State) -> tuple[Architecture, NetworkConfig]:
    """Return which network a state is of; raise CheckpointFormatError if it does not say."""
    config = state.config if isinstance(state.config, dict) else {}
    shape, name = config.get("network"), config.get("arch", DEFAULT_NETWORK)
    if not isinstance(shape, dict):
        raise CheckpointFormatError("It describes no network.")
    if not isinstance(name, str) or name not in NETWORKS:
        raise CheckpointFormatError(f"It is of an unknown network, {shorten(name)}.")
    return NETWORKS[name], NETWORKS[name].config_type.from_dict(shape)


def _check_progress(progress: TrainingProgress) -> None:
    for field in fields(progress):
        value = getattr(progress, field.name)
        if field.name == "best":
            good = value is None or (type(value) in (int, float) and math.isfinite(value))
        else:
            kinds = (int, float) if field.name == "elapsed" else (int,)
            good = type(value) in kinds and 0 <= value <= _LARGEST_COUNT
        if not good:
            raise CheckpointFormatError(f"Its progress has {field.name} {shorten(value)}.")


def _check_part(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], part: str) -> None:
    if strange := set(tensors) ^ set(expected):
        raise CheckpointFormatError(
            f"Its {part} has not the tensors of the network that it describes: "
            f"{shorten(min(strange))} ({len(strange)} such)."
        )
    for name, wanted in expected.items():
        _check_tensor(tensors[name], wanted, f"{part}/{name}")


def _check_entries(values: Mapping[str, Tensor], weight: Tensor, optimizer: str) -> None:
    """Compare one weight's state with what its optimiser keeps: steps, and maps of its shape."""
    names = _ADAM
    if optimizer == "muon":
        names = _MUON if is_matrix(weight) else _MUON_ADAM
    if set(values) != names:
        raise CheckpointFormatError(f"The optimiser's state is not that of {optimizer}.")
    for name, value in values.items():
        wanted = torch.empty((), device="meta") if name == "step" else weight
        _check_tensor(value, wanted, f"optimizer/{name}")
        if name in ("step", "square", "exp_avg_sq") and (value < 0).any():
            raise CheckpointFormatError(f"Its {name} of the optimiser is below 0.")


def _check_tensor(value: Tensor, wanted: Tensor, name: str) -> None:
    if value.shape != wanted.shape or value.dtype != wanted.dtype:
        raise CheckpointFormatError(
            f"Its tensor {name} is of {value.dtype} and shape {shorten(tuple(value.shape))}, "
            f"not of {wanted.dtype} and shape {tuple(wanted.shape)}."
        )
    if not torch.isfinite(value).all():
        raise CheckpointFormatError(f"Its tensor {name} has values that are not finite.")
