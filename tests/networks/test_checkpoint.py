"""Checkpoint files: what is written is read back, and hostile files are refused."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from drcnet_cli.errors import CheckpointFormatError, UsageError
from drcnet_cli.networks.checkpoint import (
    CheckpointInfo,
    load_checkpoint,
    read_info,
    save_checkpoint,
)
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet

CONFIG = DRCNetConfig(width=4, depth=2, filter_levels=(1,), threshold=0.6)
INFO = CheckpointInfo(CONFIG, "tiny", "denoise", 64, {"licence": "CC0", "steps": 3})


def write_raw(path, state, info: dict | str):
    text = info if isinstance(info, str) else json.dumps(info)
    save_file({n: v.contiguous() for n, v in state.items()}, path, metadata={"drcnet": text})
    return path


def test_round_trip_keeps_everything(tmp_path):
    net = DRCNet(CONFIG)
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, net.state_dict(), INFO, dtype=torch.float32)
    loaded, info = load_checkpoint(path)
    assert info == INFO == read_info(path)
    assert not loaded.training
    x = torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        assert torch.equal(loaded(x), net.eval()(x))


def test_half_precision_is_loaded_as_float32(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, DRCNet(CONFIG).state_dict(), INFO)
    loaded, _ = load_checkpoint(path)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_the_same_weights_give_the_same_bytes(tmp_path):
    state = DRCNet(CONFIG).state_dict()
    save_checkpoint(tmp_path / "a", state, INFO)
    save_checkpoint(tmp_path / "b", state, INFO)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_infinite_weights_are_not_written(tmp_path):
    state = DRCNet(CONFIG).state_dict()
    state["merge.bias"] = torch.full_like(state["merge.bias"], 1e6)  # infinite in float16
    with pytest.raises(CheckpointFormatError, match="merge.bias"):
        save_checkpoint(tmp_path / "x", state, INFO)
    assert list(tmp_path.iterdir()) == []


def good_info(**changes) -> dict:
    return {**json.loads(INFO.to_json()), **changes}


@pytest.mark.parametrize(
    "info",
    [
        "not json",
        "[]",
        "{}",
        good_info(format=99),
        good_info(arch="airnet"),
        good_info(config={"width": 10**9}),
        good_info(config={"width": 4, "depth": 2, "colour": "blue"}),
        good_info(training_patch=-5),
        good_info(training_patch="64"),
        good_info(config={**CONFIG.to_dict(), "width": 6}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_descriptions_are_refused(info, tmp_path):
    path = write_raw(tmp_path / "bad.safetensors", DRCNet(CONFIG).state_dict(), info)
    with pytest.raises(CheckpointFormatError, match="bad.safetensors"):
        load_checkpoint(path)


@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "nan"])
def test_wrong_tensors_are_refused(damage, tmp_path):
    state = DRCNet(CONFIG).state_dict()
    if damage == "missing":
        del state["merge.bias"]
    elif damage == "extra":
        state["merge.more"] = torch.zeros(2)
    elif damage == "shape":
        state["merge.bias"] = torch.zeros(5)
    else:
        state["merge.bias"][0] = torch.nan
    path = write_raw(tmp_path / "bad.safetensors", state, INFO.to_json())
    with pytest.raises(CheckpointFormatError, match=r"merge\."):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>Not found</html>", struct.pack("<Q", 2**62) + b"{}", b"\x80\x02}q\x00."],
    ids=["empty", "html", "overflowing header", "pickle"],
)
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointFormatError, match="bad.safetensors"):
        read_info(path)


def test_other_safetensors_are_refused(tmp_path):
    path = tmp_path / "llm.safetensors"
    save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(CheckpointFormatError, match="not a checkpoint of this package"):
        load_checkpoint(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(CheckpointFormatError, match=path.name):
            load_checkpoint(path)


def test_a_checkpoint_for_any_damage_serves_every_task_and_no_other_does():
    anything = CheckpointInfo(CONFIG, "all-in-one", "auto")
    for task in (None, "auto", "derain", "dehaze"):
        anything.check_task(task)
    INFO.check_task("denoise")
    with pytest.raises(UsageError, match="tiny is made for denoise, not for auto"):
        INFO.check_task("auto")
