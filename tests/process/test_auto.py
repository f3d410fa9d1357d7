"""`drcnet calibrate` and `drcnet restore --task auto` as processes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import save_photograph
from PIL import Image
from training_helpers import photographs

from drcnet_cli.networks.airnet.config import AirNetConfig
from drcnet_cli.networks.airnet.network import AirNet
from drcnet_cli.networks.checkpoint import CheckpointInfo, read_info, save_checkpoint

CONFIG = AirNetConfig(4, 1, 1, (4, 6, 8), shrink=2, input_skip=True)


@pytest.fixture
def airnet(tmp_path) -> Path:
    """Write an AirNet that changes nothing and knows no kinds."""
    torch.manual_seed(1)
    network = AirNet(CONFIG).eval()
    network.begin_at_input()
    path = tmp_path / "mute.safetensors"
    info = CheckpointInfo(CONFIG, "tiny-auto", "auto", 64, arch="airnet")
    save_checkpoint(path, network.state_dict(), info)
    return path


def calibrated(drcnet, airnet: Path, kinds: str) -> Path:
    photographs(airnet.parent / "clean", 6)
    told = airnet.with_name("told.safetensors")
    call = ("calibrate", airnet, told, "--clean", "clean", "--kinds", kinds)
    result = drcnet(*call, "--minutes", "0.03", "--holdout", "0.3")
    assert result.returncode == 0, result.stderr
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == [*kinds.split(","), "all"]
    return told


def test_the_checkpoint_for_what_is_wrong_restores(drcnet, tmp_path, airnet):
    told = calibrated(drcnet, airnet, "nothing,gaussian-50")
    assert read_info(told).prototypes is not None
    (tmp_path / "in").mkdir()
    noisy = np.random.default_rng(0).integers(0, 256, (160, 200, 3), dtype=np.uint8)
    Image.fromarray(noisy).save(tmp_path / "in" / "noise.png")
    Image.new("RGB", (160, 200), (90, 120, 140)).save(tmp_path / "in" / "even.png")
    call = ("restore", "--task", "auto", "--weights", told, "in", "out", "--json", "--explain")
    result = drcnet(*call)
    assert result.returncode == 0, result.stderr
    records = {Path(r["input"]).name: r for r in map(json.loads, result.stdout.splitlines())}
    for name, by in (("noise.png", ["drcnet-s-denoise"]), ("even.png", [])):
        assert records[name]["damage"]["restored_by"] == by, records[name]
        assert sum(records[name]["damage"]["shares"].values()) == pytest.approx(1, abs=1e-3)
    before, after = (np.asarray(Image.open(tmp_path / d / "even.png")) for d in ("in", "out"))
    np.testing.assert_array_equal(before, after)
    assert "looks like gaussian-50" in result.stderr and "left as is" in result.stderr
    one = drcnet(*call[:-1], "--auto-one", "--overwrite")
    records = [json.loads(line) for line in one.stdout.splitlines()]
    assert [record["damage"]["restored_by"] for record in records] == [["tiny-auto"]] * 2
    assert "looks like" not in one.stderr


def test_a_known_checkpoint_is_measured_by_its_name(drcnet, tmp_path):
    photographs(tmp_path / "clean", 2)
    call = ("calibrate", "airnet-s-auto", "--clean", "clean", "--kinds", "nothing,gaussian-50")
    done = drcnet(*call, "--holdout", 0.9, "--json")
    assert done.returncode == 0, done.stderr
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert kinds == ["nothing", "gaussian-50"]


def test_the_hint_for_a_network_that_cannot_tell_is_of_use(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "in.png")
    refused = drcnet("restore", "--task", "auto", "--weights", tiny_weights, "in.png", "out.png")
    assert refused.returncode == 2 and "Leave out --task auto" in refused.stderr
    followed = drcnet("restore", "--weights", tiny_weights, "in.png", "out.png")
    assert followed.returncode == 0, followed.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("restore", "-t", "auto", "-m", "drcnet-s-denoise", "in", "out"), 2, "denoise"),
        (("restore", "-w", "mute.safetensors", "--explain", "in", "out"), 2, "calibrate"),
        (("restore", "-t", "denoise", "--explain", "in", "out"), 2, "--task auto"),
        (("restore", "-t", "denoise", "--auto-one", "in", "out"), 2, "--auto-one is for auto"),
        (("calibrate", "mute.safetensors", "new.safetensors"), 2, "--clean"),
        (("calibrate", "mute.safetensors", "mute.safetensors", "--clean", "in"), 2, "exists"),
        (("calibrate", "mute.safetensors", "--clean", "in"), 2, "cannot tell"),
        (("calibrate", "mute.safetensors", "x", "--clean", "in", "--kinds", "fog"), 2, "fog"),
        (("calibrate", "none.safetensors", "--clean", "in"), 3, "none.safetensors"),
    ],
)
def test_wrong_calls_are_one_sentence(drcnet, tmp_path, airnet, arguments, code, said):
    for number in range(2):
        save_photograph(tmp_path / "in" / f"{number}.png")
    result = drcnet(*arguments)
    assert result.returncode == code, result.stderr
    assert said in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists() and not (tmp_path / "x").exists()
