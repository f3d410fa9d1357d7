"""Whether a state file, which may come from anyone, is the state of a run that could have been.

Everything is compared with an empty network of the described shape before a real one is built, so
that a file cannot ask for more memory than its own tensors take. torch checks some of this later,
but not the shapes of the optimiser's state, which fused kernels then trust.
"""

import math
from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks import DEFAULT_NETWORK, NETWORKS, Architecture, NetworkConfig
from drcnet_cli.text import shorten
from drcnet_cli.train.objective import OBJECTIVES
from drcnet_cli.train.optim import is_matrix
from drcnet_cli.train.state import Progress, State

_LARGEST_COUNT = 2**53
_ADAM = {"step", "exp_avg", "exp_avg_sq"}
_MUON, _MUON_ADAM = {"momentum"}, {"step", "mean", "square"}


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


def _check_progress(progress: Progress) -> None:
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
