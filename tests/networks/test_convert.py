"""Checkpoints as trainers write them: found wherever they lie, and nothing beside them is run."""

import argparse
import json
import os
import struct
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from drcnet_cli.errors import CheckpointFormatError, WeightsError
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.networks.convert import convert_file, read_released
from drcnet_cli.networks.damage import describe_damage

GOLDEN = Path(__file__).parents[1] / "golden" / "drcnet_wf8_depth4_sf0-4.pth"


@pytest.fixture(scope="module")
def released():
    return read_released(GOLDEN)


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def same(found, expected) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], value) and found[name].dtype == value.dtype
        for name, value in expected.items()
    )


class Settings:
    """An object of a trainer's own class."""

    def __init__(self, marker: Path) -> None:
        self.rate, self.path = 1e-3, marker


class Runs(Settings):
    """One whose unpickling would make a folder."""

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


CONTAINERS = {
    "model_state_dict": lambda state: {"epoch": 3, "model_state_dict": state},
    "lightning": lambda state: {"state_dict": under("net.", state), "global_step": 5},
    "lightning, with a loss": lambda state: {
        "state_dict": {**under("model.", state), "loss.vgg.weight": torch.zeros(3)}
    },
    "compiled": lambda state: under("_orig_mod.", state),
    "ddp": lambda state: {"params": under("module.", state)},
    "ddp, compiled": lambda state: under("module._orig_mod.", state),
    "lightning, compiled": lambda state: {"state_dict": under("model._orig_mod.", state)},
    "nested": lambda state: {"model": {"params": state, "name": "x"}},
    "averaged": lambda state: {"model": {n: v + 1 for n, v in state.items()}, "ema": state},
    "arguments": lambda state: {"state_dict": state, "args": argparse.Namespace(lr=1, p=Path())},
    "own class": lambda state: {"state_dict": state, "settings": Settings(Path())},
    "NumPy": lambda state: {"best": np.float64(31), "log": np.zeros(3), "model": state},
    "optimiser": lambda state: {
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1}]},
        "history": defaultdict(list, a=[1]), "seen": {1, 2}, "net": OrderedDict(state),
    },
}  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("form", CONTAINERS)
def test_a_state_dict_is_found(form, zipped, released, tmp_path):
    path = tmp_path / "in.pth"
    torch.save(CONTAINERS[form](released), path, _use_new_zipfile_serialization=zipped)
    assert same(read_released(path), released)


def test_what_lies_beside_it_is_not_run(released, tmp_path):
    marker = tmp_path / "executed"
    path = tmp_path / "in.pth"
    torch.save({"state_dict": released, "args": [Runs(marker)], "x": Runs(marker)}, path)
    assert same(read_released(path), released)
    assert not marker.exists()
    torch.save({"state_dict": {**released, "last.bias": Runs(marker)}}, path)
    with pytest.raises(CheckpointFormatError, match=r"mkdir.*none was run"):
        read_released(path)
    assert not marker.exists()


def test_another_container_is_named_and_can_be_asked_for(released, tmp_path):
    path = tmp_path / "in.pth"
    torch.save({"my_net": released, "other": {"weight": torch.zeros(2)}, "epoch": 3}, path)
    with pytest.raises(CheckpointFormatError) as caught:
        read_released(path)
    assert "my_net, other; add --key" in caught.value.hint
    assert same(read_released(path, key="my_net"), released)
    with pytest.raises(CheckpointFormatError, match="no dictionary 'mynet'") as caught:
        read_released(path, key="mynet")
    assert "my_net" in caught.value.hint


def test_safetensors_of_other_code_are_taken(released, tmp_path):
    path, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({**under("ema.", released), "step": torch.zeros(1)}, path)
    assert same(read_released(path, key="ema"), released)
    with pytest.raises(CheckpointFormatError, match=r"begins with nets\."):
        read_released(path, key="nets")
    convert_file(path, out, key="ema")
    assert load_checkpoint(out)[1].config.width == 8
    with pytest.raises(CheckpointFormatError, match="already") as caught:
        convert_file(out, tmp_path / "again.safetensors")
    assert "--weights" in caught.value.hint


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_numbers_keep_their_type(dtype, released, tmp_path):
    source, out = tmp_path / "in.pth", tmp_path / "out.safetensors"
    torch.save({name: value.to(dtype) for name, value in released.items()}, source)
    convert_file(source, out)
    header = out.read_bytes()[8 : 8 + struct.unpack("<Q", out.read_bytes()[:8])[0]]
    types = {entry["dtype"] for name, entry in json.loads(header).items() if name[0] != "_"}
    assert types == {{4: "F32"}.get(dtype.itemsize, "BF16" if dtype == torch.bfloat16 else "F16")}


def half_file(path: Path) -> None:
    save_file({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:1500])


DAMAGES = {
    "safetensors": (half_file, "is cut off: 1500 of 40", "Download it again"),
    "header": (
        lambda path: path.write_bytes(struct.pack("<Q", 5000) + b'{"a"'),
        "is cut off: 12 of 5008",
        "again",
    ),
    "zip": (
        lambda path: path.write_bytes(GOLDEN.read_bytes()[:2000]),
        "is cut off",
        "again",
    ),
    "empty": (lambda path: path.write_bytes(b""), "is empty", "again"),
    "pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid x\n"),
        "is a Git LFS pointer",
        "git lfs pull",
    ),
    "page": (lambda path: path.write_text("\n<!DOCTYPE html><p>404"), "is a web page", "Download"),
}


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_damaged_file_is_is_said(damage, suffix, tmp_path):
    make, what, helps = DAMAGES[damage]
    path = tmp_path / f"in.{suffix}"
    make(path)
    readers = [read_released] if suffix == "pth" else [read_released, load_checkpoint]
    for reader in readers:
        with pytest.raises(WeightsError) as caught:
            reader(path)
        assert f"{path} {what}" in caught.value.message
        assert helps in caught.value.hint


def test_whole_files_have_no_damage(tmp_path):
    convert_file(GOLDEN, tmp_path / "whole.safetensors")
    assert describe_damage(tmp_path / "whole.safetensors") is None
    assert describe_damage(GOLDEN) is None
    assert describe_damage(tmp_path / "missing") is None
