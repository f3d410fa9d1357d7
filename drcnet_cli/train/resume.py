"""Where a run goes on: the state that it finds, and what may have changed since."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from drcnet_cli.errors import CheckpointFormatError, UsageError
from drcnet_cli.files.copies import place_in_cache
from drcnet_cli.networks import DEFAULT_NETWORK
from drcnet_cli.text import shorten
from drcnet_cli.train.config import DEFAULT_DEPTH, DEFAULT_WIDTH, TrainConfig
from drcnet_cli.train.state import (
    State,
    check_state,
    described_network,
    find_state,
    load_state,
    not_a_state,
)

# What may differ between a run and its resumption without a word.
_MAY_CHANGE = {
    "out", "resume", "steps", "minutes", "cache_mb", "workers", "device", "dtype", "compile",
    "channels_last", "save_every", "validate_every", "log_every", "tensorboard", "name", "licence",
    "data_root", "vgg", "val_count", "val_side", "init",
}  # fmt: skip

# What settings that came later are in the states of before: a run goes on as it began.
_BEFORE_THEY_CAME = {"vary": False, "set": [], "unusual": 0.0, "feature_limit": 0.0}
# What was recorded where nothing was asked for, by states of before these could be left unset.
_UNASKED = {"width": DEFAULT_WIDTH, "depth": DEFAULT_DEPTH}
# What a network is made by: a state goes on with the network that it holds.
_OF_THE_NETWORK = ("network", "width", "depth", "threshold", "delta", "set")


def state_to_resume(config: TrainConfig) -> State | None:
    """Find the state that `resume` asks for; raises UsageError if it is another run's."""
    if config.resume == "never":
        return None
    path = find_state(config.folder) if config.resume == "auto" else Path(config.resume)
    if path is None:
        return None
    state = load_state(path)
    try:
        described_network(state)
        _refuse_changes(path, state.config, config)
        check_state(state, config.optimizer)
    except CheckpointFormatError as error:
        raise not_a_state(path, error.message.rstrip(".")) from error
    measured = all(
        state.config.get(name, getattr(config, name)) == getattr(config, name)
        for name in ("val_count", "val_side")
    )
    # The best of that run does not lie here; or it was the best by other pictures.
    if path.parent.resolve() != config.folder.resolve() or not measured:
        state.progress.best = None
    return state


def with_network(config: TrainConfig, name: str, state: State | None) -> TrainConfig:
    """Return the settings as they are of the network that there is, which is what a run records.

    Raises UsageError for a state with settings that cannot be.
    """
    begun = state.config if state is not None else {}
    kept = {setting: begun[setting] for setting in _OF_THE_NETWORK if setting in begun}
    return TrainConfig.from_mapping({**kept, "network": name}, config)


def _refuse_changes(path: Path, before: Mapping[str, Any], config: TrainConfig) -> None:
    """Raise UsageError for what changed unasked, and for what the state cannot go on with."""
    changed = _changes(before, config)
    new_network = any(name in _OF_THE_NETWORK for name in changed)
    if config.resume == "auto" and changed:
        go_on = "" if new_network else f"; or --resume {path} to go on with the new settings"
        raise UsageError(
            f"{config.folder} holds a run with other settings: {_listed(changed)}.",
            f"Give another --out; or --resume never to begin anew{go_on}.",
        )
    # A network that is as usual was not asked for: then the state decides.
    asked = {
        name: was
        for name, was in changed.items()
        if name in _OF_THE_NETWORK and getattr(config, name) != getattr(TrainConfig, name)
    }
    if asked:
        raise UsageError(
            f"{path} can go on with its own network alone: {_listed(asked)}.",
            "Leave that as it was; or give another --out and --resume never to begin anew",
        )
    optimizer = before.get("optimizer", config.optimizer)
    if optimizer != config.optimizer:
        raise UsageError(
            f"{path} cannot go on with another optimiser than {shorten(optimizer)}.",
            f"Give --optimizer {shorten(optimizer)}; or --init BEST.safetensors for its "
            "weights alone",
        )


def _listed(changed: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', '-')} was {shorten(was)}" for name, was in changed.items()
    )


def _changes(before: Mapping[str, Any], config: TrainConfig) -> dict[str, Any]:
    """Return what the settings were that changed and that a run depends on."""
    now = _comparable(asdict(config))
    shape = before["network"]
    before = _comparable({**_BEFORE_THEY_CAME, **before})
    before["network"] = before.get("arch", DEFAULT_NETWORK)
    if config.init and now["network"] == DEFAULT_NETWORK:  # unasked: --init decided
        now["network"] = before["network"]
    for name, usual in _UNASKED.items():
        # Given, they are compared with the network there is, which --init may have decided.
        if now[name]:
            before[name] = shape.get(name, before.get(name))  # some networks have none
        elif before.get(name) == usual:
            before[name] = 0
    return {
        name: before[name]
        for name, value in now.items()
        if name not in _MAY_CHANGE and name in before and before[name] != value
    }


def _comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON has them, copies of addresses by what they are copies of."""
    values = json.loads(json.dumps(settings))
    for name in ("lq", "gt", "masks", "clean"):
        match values.get(name):  # a state file may hold anything
            case str(folder):
                values[name] = place_in_cache(folder)
            case list(folders):
                values[name] = [place_in_cache(str(folder)) for folder in folders]
    return values
