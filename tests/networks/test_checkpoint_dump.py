"""Tensors in a file: refusals are OSErrors, and the format is safetensors' own."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from drcnet_cli.errors import UsageError
from drcnet_cli.networks import convert
from drcnet_cli.networks.checkpoint import dump_tensors

GOLDEN = Path(__file__).parents[1] / "golden" / "drcnet_wf8_depth4_sf2-3.pth"
TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.zeros(3, dtype=torch.float16)}


def test_the_bytes_are_those_of_save_file(tmp_path):
    dump_tensors(tmp_path / "ours", TENSORS, {"k": "v"})
    save_file(TENSORS, tmp_path / "theirs", metadata={"k": "v"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert torch.equal(load_file(tmp_path / "ours")["b"], TENSORS["b"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device")  # noqa: PTH110
def test_a_full_disk_is_an_os_error(tmp_path):
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        dump_tensors(tmp_path / "full", TENSORS, {})


def test_a_conversion_onto_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(path, _tensors, _metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("drcnet_cli.networks.checkpoint.dump_tensors", full)
    target = tmp_path / "net.safetensors"
    with pytest.raises(UsageError, match="net.safetensors cannot be written: No space left"):
        convert.convert_file(GOLDEN, target)
    assert list(tmp_path.iterdir()) == []
