import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_helpers import (
    Killed,
    environment,
    flags,
    photographs,
    start_training,
    stop_at,
    tiny,
)

from drcnet_cli.errors import CheckpointFormatError, DrcnetError, UsageError
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.train import setup as run
from drcnet_cli.train.loop import train
from drcnet_cli.train.state import PREVIOUS_NAME, STATE_NAME, find_state, load_state, save_state

STEPS = 60


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("clean"))


def weights(out):
    return load_file(out / STATE_NAME)


def assert_same_end(first, second):
    """Compare everything that a run ends with: weights, average, optimiser, log."""
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    logs = [
        [
            (line["step"], line["loss"])
            for line in map(json.loads, (folder / "log.jsonl").read_text().splitlines())
            if line["event"] == "step"
        ]
        for folder in (first, second)
    ]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", [Killed, signal.SIGINT, signal.SIGTERM])
def test_a_run_cut_off_and_resumed_ends_as_an_undisturbed_one(
    clean, tmp_path, monkeypatch, workers, kind
):
    settings = {
        "steps": 9, "save_every": "2", "patches": "16x2:0.5,24x1:0.5", "workers": workers,
        "accumulate": 2, "optimizer": "adamw" if workers else "muon",
    }  # fmt: skip
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(tiny(clean, whole, **settings))
    stop_at(monkeypatch, 5, kind)
    if kind is Killed:
        with pytest.raises(Killed):
            train(tiny(clean, cut, **settings))
        assert load_state(cut / STATE_NAME).progress.step == 4
    else:
        result = train(tiny(clean, cut, **settings))
        assert result.interrupted
        assert result.final is None
        assert load_state(cut / STATE_NAME).progress.step == 5
    result = train(tiny(clean, cut, **settings))
    assert result.step == 9
    assert_same_end(whole, cut)


def test_a_process_killed_and_resumed_ends_with_the_same_weights(clean, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    values = {
        "task": "denoise", "degrade": "gaussian", "clean": clean, "width": 4, "depth": 2,
        "patches": "16x2", "steps": STEPS, "save_every": 5, "holdout": 0, "dtype": "float32",
        "device": "cpu", "workers": 1, "log_every": 1,
    }  # fmt: skip
    undisturbed = start_training(*flags(**values, out=whole))
    disturbed = start_training(*flags(**values, out=cut))
    deadline = time.monotonic() + 60
    while not (cut / PREVIOUS_NAME).exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    disturbed.send_signal(signal.SIGKILL)
    disturbed.communicate()
    state = find_state(cut)
    assert state is not None
    assert 5 <= load_state(state).progress.step < STEPS
    resumed = start_training(*flags(**values, out=cut))
    for process in (undisturbed, resumed):
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert_same_end(whole, cut)


def test_a_finished_run_is_not_begun_anew(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=2))
    before = weights(tmp_path)
    assert train(tiny(clean, tmp_path, steps=2)).step == 2
    assert torch.equal(
        before["network/sam.gate.weight"], weights(tmp_path)["network/sam.gate.weight"]
    )
    assert train(tiny(clean, tmp_path, steps=3)).step == 3  # a larger budget goes on
    assert train(tiny(clean, tmp_path, steps=2, resume="never")).step == 2


def test_the_average_and_the_best_score_survive(clean, tmp_path):
    first = train(tiny(clean, tmp_path, steps=3))
    state = load_state(tmp_path / STATE_NAME)
    assert state.progress.best == first.best
    average = load_checkpoint(tmp_path / "final.safetensors")[0].state_dict()
    for name, value in state.parts["average"].items():
        torch.testing.assert_close(value, average[name], atol=1e-3, rtol=1e-3)


def test_a_damaged_state_names_the_one_before(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=2, save_every="1"))
    whole = (tmp_path / STATE_NAME).read_bytes()
    (tmp_path / STATE_NAME).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointFormatError, match="not a whole training state") as error:
        train(tiny(clean, tmp_path, steps=3))
    assert PREVIOUS_NAME in error.value.hint
    previous = str(tmp_path / PREVIOUS_NAME)
    assert train(tiny(clean, tmp_path, steps=3, resume=previous)).step == 3


def test_a_state_that_vanished_is_replaced_by_the_one_before(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=2, save_every="1"))
    (tmp_path / STATE_NAME).unlink()
    assert train(tiny(clean, tmp_path, steps=3)).step == 3


def test_another_runs_folder_is_refused(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=1))
    with pytest.raises(UsageError, match="lr was 0.001") as error:
        train(tiny(clean, tmp_path, steps=2, lr=1e-4))
    assert "--resume never" in error.value.hint
    # Said on purpose, it goes on with the new rate.
    state = str(tmp_path / STATE_NAME)
    assert train(tiny(clean, tmp_path, steps=2, lr=1e-4, resume=state)).step == 2


def test_a_state_from_before_crops_were_varied_goes_on_without(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=1, vary=False))
    state = load_state(tmp_path / STATE_NAME)
    del state.config["vary"]
    save_state(tmp_path, state)
    with pytest.raises(UsageError, match="vary was False"):
        train(tiny(clean, tmp_path, steps=2))
    assert train(tiny(clean, tmp_path, steps=2, vary=False)).step == 2


@pytest.mark.parametrize(("name", "without"), [("unusual", 0.0), ("feature_limit", 0.0)])
def test_a_state_from_before_a_setting_goes_on_without_it(clean, tmp_path, name, without):
    train(tiny(clean, tmp_path, steps=1, **{name: without}))
    state = load_state(tmp_path / STATE_NAME)
    del state.config[name]
    save_state(tmp_path, state)
    with pytest.raises(UsageError, match=f"{name.replace('_', '-')} was 0"):
        train(tiny(clean, tmp_path, steps=2))
    assert train(tiny(clean, tmp_path, steps=2, **{name: without})).step == 2
    # Said on purpose, it goes on with it.
    changed = tiny(clean, tmp_path, steps=3, resume=str(tmp_path / STATE_NAME))
    assert train(changed).step == 3


def test_files_that_are_no_state(clean, tmp_path):
    train(tiny(clean, tmp_path / "run", steps=1))
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for path in (
        tmp_path / "other.safetensors",
        tmp_path / "run/final.safetensors",
        tmp_path / "none.safetensors",
    ):
        with pytest.raises(CheckpointFormatError) as error:
            load_state(path)
        there = (path.parent / PREVIOUS_NAME).is_file()
        assert (PREVIOUS_NAME in error.value.hint) == there


@pytest.mark.parametrize(
    "key", ["network/merge.bias", "average/merge.bias", "optimizer/0/momentum"]
)
@pytest.mark.parametrize("odd", ["shape", "nan", "integers"])
def test_a_state_with_other_tensors_is_refused_before_it_is_used(clean, tmp_path, key, odd):
    settings = {"optimizer": "muon", "width": 8}  # a width from which there are matrices
    train(tiny(clean, tmp_path, steps=1, **settings))
    path = tmp_path / STATE_NAME
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    key = key if key in tensors else next(name for name in tensors if name.endswith("momentum"))
    value = tensors[key]
    changed = {"shape": value.flatten()[:1], "nan": value * torch.nan, "integers": value.long()}
    save_file({**tensors, key: changed[odd].contiguous()}, path, metadata=metadata)
    with pytest.raises(CheckpointFormatError, match="not a whole training state") as error:
        train(tiny(clean, tmp_path, steps=2, **settings))
    assert error.value.message.isprintable()
    assert "--resume" in error.value.hint


def test_a_failed_save_leaves_the_states_as_they_were(clean, tmp_path, monkeypatch):
    train(tiny(clean, tmp_path, steps=2, save_every="1"))
    before = {name: (tmp_path / name).read_bytes() for name in (STATE_NAME, PREVIOUS_NAME)}

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "save_state", full)
    with pytest.raises(DrcnetError, match="No space"):
        train(tiny(clean, tmp_path, steps=4, save_every="1"))
    assert before == {name: (tmp_path / name).read_bytes() for name in before}
    assert not list(tmp_path.glob("*.tmp"))


def test_a_disk_that_fills_during_a_save_leaves_a_state_to_go_on_from(clean, tmp_path, monkeypatch):
    train(tiny(clean, tmp_path, steps=2, save_every="1"))

    def full(path, _tensors, _metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("drcnet_cli.train.state.dump_tensors", full)
        with pytest.raises(DrcnetError, match="cannot be written .No space left") as error:
            train(tiny(clean, tmp_path, steps=4, save_every="1"))
    assert "goes on" in error.value.hint
    assert load_state(tmp_path / STATE_NAME).progress.step == 2
    assert not list(tmp_path.glob(".*"))
    assert train(tiny(clean, tmp_path, steps=4, save_every="1")).step == 4


ORPHAN = """
import multiprocessing, os, sys, time
from pathlib import Path
from drcnet_cli.train import batches

def work():
    while os.getppid() == parent:
        time.sleep(0.01)
    batches._start_worker(0)
    Path(sys.argv[1]).touch()

parent = os.getpid()
multiprocessing.set_start_method("fork")
multiprocessing.Process(target=work).start()
os.kill(parent, 9)
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are not forked there")
def test_a_loading_process_whose_parent_was_killed_before_it_began_ends(tmp_path):
    """It would hold the standard error that it inherited, and its memory, for ever."""
    begun = tmp_path / "begun"
    ended = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(begun)],
        env=environment(),
        stderr=subprocess.PIPE,
        timeout=60,
    )
    assert ended.returncode == -signal.SIGKILL
    assert ended.stderr == b""
    assert not begun.exists()


def test_fields_that_only_some_networks_have_are_set_by_name(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=1, set=["filter_levels=[1]", "energy_attention=false"]))
    _, info = load_checkpoint(tmp_path / "final.safetensors")
    assert info.config.to_dict()["filter_levels"] == [1]
    assert not info.config.to_dict()["energy_attention"]
    with pytest.raises(UsageError, match="set was"):
        train(tiny(clean, tmp_path, steps=2))


@pytest.mark.parametrize(
    "wrong", ["width=8", "filter_levels", "filter_levels=[9]", "colour=1", "identity_branch=3"]
)
def test_settings_that_the_network_does_not_have_are_refused(clean, tmp_path, wrong):
    with pytest.raises(UsageError):
        train(tiny(clean, tmp_path, steps=1, set=[wrong]))


def test_an_unknown_network_is_refused(clean, tmp_path):
    with pytest.raises(UsageError, match="--network cannot be 'unet'"):
        tiny(clean, tmp_path, network="unet")


def test_a_state_from_before_networks_had_names_goes_on(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=1))
    state = load_state(tmp_path / STATE_NAME)
    for key in ("arch", "set"):
        del state.config[key]
    save_state(tmp_path, state)
    assert train(tiny(clean, tmp_path, steps=2)).step == 2


def test_a_state_goes_on_elsewhere_with_a_best_of_its_own(clean, tmp_path):
    first = train(tiny(clean, tmp_path / "first", steps=2))
    state = str(tmp_path / "first" / STATE_NAME)
    second = train(tiny(clean, tmp_path / "second", steps=3, lr=1e-9, lr_min=0.0, resume=state))
    assert first.best is not None and second.best is not None
    assert (tmp_path / "second" / "best.safetensors").exists()


def test_a_state_of_another_optimiser_is_not_called_damaged(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=2, optimizer="adam"))
    with pytest.raises(UsageError, match="other settings: optimizer was 'adam'"):
        train(tiny(clean, tmp_path, steps=4, optimizer="muon"))
    state = str(tmp_path / STATE_NAME)
    with pytest.raises(UsageError, match="another optimiser than 'adam'"):
        train(tiny(clean, tmp_path / "new", steps=4, optimizer="muon", resume=state))


@pytest.mark.parametrize(
    ("asked", "was"),
    [
        ({"width": 8}, "width was 4"),
        ({"depth": 3, "threshold": 0.3}, "depth was 2, threshold was 0.75"),
        ({"network": "airnet"}, "network was 'drcnet'"),
        ({"set": ("filter_levels=[1]",)}, r"set was \[\]"),
    ],
)
def test_a_state_goes_on_with_no_other_network(clean, tmp_path, asked, was):
    train(tiny(clean, tmp_path, steps=1))
    with pytest.raises(UsageError, match=was) as error:
        train(tiny(clean, tmp_path, steps=2, **asked))
    assert STATE_NAME not in error.value.hint
    with pytest.raises(UsageError, match=was) as error:
        train(tiny(clean, tmp_path, steps=2, resume=str(tmp_path / STATE_NAME), **asked))
    assert "--resume never" in error.value.hint


def test_a_state_needs_no_word_of_its_network_and_records_it(clean, tmp_path):
    shape = {"threshold": 0.3, "set": ("filter_levels=[1]",)}
    train(tiny(clean, tmp_path, steps=1, **shape))
    state = str(tmp_path / STATE_NAME)
    train(tiny(clean, tmp_path, steps=2, width=0, depth=0, resume=state))
    _, info = load_checkpoint(tmp_path / "final.safetensors")
    recorded = info.provenance["settings"]
    assert (recorded["width"], recorded["threshold"]) == (4, 0.3)
    assert recorded["set"] == ["filter_levels=[1]"]
    assert train(tiny(clean, tmp_path, steps=3, **shape)).step == 3
