"""Training AirNet: two crops, the encoder alone at first, the queue, and going on after a kill."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_helpers import Killed, flags, photographs, start_training, stop_at, tiny

from drcnet_cli.errors import CheckpointFormatError, UsageError
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.train import loop
from drcnet_cli.train.loop import Training, train
from drcnet_cli.train.state import STATE_NAME, load_state, save_state

SHAPE = ["features=4", "groups=1", "blocks=1", "encoder_widths=[4,4,8]"]
AIRNET = {
    "network": "airnet", "task": "denoise", "degrade": "gaussian-15,gaussian-50", "set": SHAPE,
    "patches": "16x2", "queue": 6, "encoder_first": 0.4,
}  # fmt: skip


def airnet(clean, out, /, **settings):
    return tiny(clean, out, **{**AIRNET, **settings})


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("clean"))


@pytest.mark.parametrize("step", [3, 6])  # while the encoder learns alone, and later
def test_a_run_cut_off_and_resumed_ends_as_an_undisturbed_one(clean, tmp_path, monkeypatch, step):
    settings = {"steps": 10, "save_every": "2", "accumulate": 2}
    train(airnet(clean, tmp_path / "whole", **settings))
    stop_at(monkeypatch, step, Killed)
    with pytest.raises(Killed):
        train(airnet(clean, tmp_path / "cut", **settings))
    assert load_state(tmp_path / "cut" / STATE_NAME).progress.step == step // 2 * 2
    assert train(airnet(clean, tmp_path / "cut", **settings)).step == 10
    one, other = (load_file(tmp_path / name / STATE_NAME) for name in ("whole", "cut"))
    assert one.keys() == other.keys()
    assert {"objective/queue", "objective/key_encoder.hidden.weight"} <= one.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_the_encoder_learns_alone_at_first(clean, tmp_path):
    run = Training(airnet(clean, tmp_path, steps=10), loop.NoListener())
    network = run.parts.network
    begun = {name: value.clone() for name, value in network.named_parameters()}
    after = []
    plain = run._after_step

    def after_step(phase, rate):
        plain(phase, rate)
        changed = {n for n, v in network.named_parameters() if not torch.equal(v, begun[n])}
        after.append({name.partition(".")[0] for name in changed})

    run._after_step = after_step
    run.run()
    assert after[:4] == [{"encoder"}] * 4
    assert after[4:] == [{"encoder", "restorer"}] * 6
    # A step that changed nothing does not count, either.
    states = run.parts.optimizer.state
    steps = {name: int(states[value]["step"]) for name, value in network.named_parameters()}
    assert steps["encoder.first.conv1.weight"] == 10
    assert steps["restorer.shallow.weight"] == 6


def test_the_average_has_running_statistics(clean, tmp_path):
    run = Training(airnet(clean, tmp_path, steps=6), loop.NoListener())
    run.run()
    average, network = run.parts.average.network, run.parts.network
    mean = average.state_dict()["encoder.first.norm1.running_mean"]
    assert mean.abs().max() > 0
    assert not torch.equal(mean, network.state_dict()["encoder.first.norm1.running_mean"])
    exported, info = load_checkpoint(tmp_path / "final.safetensors")
    torch.testing.assert_close(
        exported.state_dict()["encoder.first.norm1.running_mean"], mean, atol=1e-3, rtol=1e-3
    )
    assert info.arch == "airnet"
    assert info.provenance["contrast"]["kind"] == "two crops"
    assert info.provenance["data"]["degradation"] == "gaussian-15,gaussian-50"


def test_pairs_give_a_second_crop_too(clean, tmp_path):
    config = airnet(clean, tmp_path, steps=3, lq=str(clean), gt=str(clean), clean=(), degrade="")
    assert train(config).step == 3


def test_a_longer_queue_is_another_run(clean, tmp_path):
    train(airnet(clean, tmp_path, steps=1))
    with pytest.raises(UsageError, match="queue was 6"):
        train(airnet(clean, tmp_path, steps=2, queue=8))
    # Said on purpose, it goes on, with the keys that there are.
    config = airnet(clean, tmp_path, steps=2, queue=8, resume=str(tmp_path / STATE_NAME))
    assert train(config).step == 2
    assert load_file(tmp_path / STATE_NAME)["objective/queue"].shape == (6, 8)


def test_a_state_without_the_contrast_begins_it_anew(clean, tmp_path):
    train(airnet(clean, tmp_path, steps=1))
    state = load_state(tmp_path / STATE_NAME)
    save_state(tmp_path, replace(state, parts={**state.parts, "objective": {}}))
    assert train(airnet(clean, tmp_path, steps=2)).step == 2


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("queue", lambda value: value[0]),
        ("queue", lambda value: value[:, :3]),
        ("queue", lambda value: value[:0]),
        ("queue", lambda value: value * torch.nan),
        ("pointer", lambda value: value.float()),
        ("key_encoder.hidden.weight", lambda value: value[:1]),
        ("key_encoder.hidden.weight", None),
        ("more", lambda value: torch.zeros(1)),
    ],
)
def test_a_damaged_contrast_is_refused(clean, tmp_path, name, change):
    train(airnet(clean, tmp_path, steps=1))
    path = tmp_path / STATE_NAME
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors, key = load_file(path), f"objective/{name}"
    changed = {key: change(tensors.get(key)).contiguous()} if change else {}
    kept = {other: value for other, value in tensors.items() if other != key}
    save_file({**kept, **changed}, path, metadata=metadata)
    with pytest.raises(CheckpointFormatError, match="not a whole training state"):
        train(airnet(clean, tmp_path, steps=2))


def test_another_networks_contrast_is_refused(clean, tmp_path):
    with pytest.raises(UsageError, match="its own contrast"):
        train(airnet(clean, tmp_path, steps=1, contrastive="intra"))


def test_it_learns(clean, tmp_path):
    settings = {"steps": 60, "encoder_first": 0.2, "lr": 5e-3, "set": [*SHAPE, "input_skip=true"]}
    result = train(airnet(clean, tmp_path, patches="16x4", degrade="gaussian-50", **settings))
    assert result.psnr is not None and result.input_psnr is not None
    assert result.psnr > result.input_psnr + 1


def test_two_processes_share_their_keys(clean, tmp_path):
    values = {
        **{name: value for name, value in AIRNET.items() if name != "set"},
        "clean": clean, "out": tmp_path, "steps": 5, "save_every": 3, "queue": 12, "device": "cpu",
        "dtype": "float32", "workers": 0, "log_every": 1, "holdout": 0,
    }  # fmt: skip
    arguments = flags(**values)
    arguments += [part for item in SHAPE for part in ("--set", item)]
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = start_training(*arguments, launcher=torchrun)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert np.isfinite([line["loss"] for line in lines if line["event"] == "step"]).all()
    state = load_file(tmp_path / STATE_NAME)
    assert state["objective/pointer"].item() == 5 * 2 * 2 % 12
    steps = {int(value) for name, value in state.items() if name.endswith("/step")}
    assert steps == {5, 3}  # of the encoder, and of the restorer
