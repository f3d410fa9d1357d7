"""`drcnet restore --mask` and `--mask-out`, as processes."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from drcnet_cli.networks.checkpoint import CheckpointInfo, save_checkpoint
from drcnet_cli.networks.spair.config import SPAIRConfig
from drcnet_cli.networks.spair.network import SPAIR


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    torch.manual_seed(0)
    network = SPAIR(SPAIRConfig(widths=(4, 4), localisation_widths=(4, 4), only_masked=True))
    info = CheckpointInfo(network.config, "tiny-spair", "raindrop", 64, arch="spair")
    save_checkpoint(folder / "w.safetensors", network.state_dict(), info)
    rng = np.random.default_rng(0)
    for name in ("in/a.png", "in/sub/b.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
        mask = folder / "mask" / path.relative_to(folder / "in").with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((40, 50), np.uint8)).save(mask)
    return folder


def test_masks_are_written_beside_the_results_and_shown(drcnet, ground, tmp_path):
    command = (
        "restore", "--weights", ground / "w.safetensors", ground / "in", tmp_path / "out",
        "--mask-out", tmp_path / "found", "--mask-format", "webp", "--report", tmp_path / "r.html",
    )  # fmt: skip
    done = drcnet(*command)
    assert done.returncode == 0, done.stderr
    for name in ("a.webp", "sub/b.webp"):
        assert Image.open(tmp_path / "found" / name).size == (50, 40)
    page = (tmp_path / "r.html").read_text()
    assert page.count("Damage found: ") == 2
    # A mask that is gone is made again, of a result that is there.
    (tmp_path / "found/a.webp").unlink()
    again = drcnet(*command, "--json")
    assert '"mask_out": ' in again.stdout
    statuses = {line["output"][-5:]: line["status"] for line in map(json.loads, lines(again))}
    assert statuses == {"a.png": "restored", "b.jpg": "skipped"}


def lines(done):
    return done.stdout.splitlines()


def test_given_masks_are_obeyed(drcnet, ground, tmp_path):
    done = drcnet(
        "restore", "--weights", ground / "w.safetensors", "--mask", ground / "mask",
        ground / "in", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = (np.asarray(Image.open(f / "a.png")) for f in (ground / "in", tmp_path / "out"))
    assert np.array_equal(before, after)  # nothing was masked


def test_what_cannot_be_is_said_before_the_work(drcnet, ground, tmp_path):
    base = ("restore", "--weights", ground / "w.safetensors")
    for extra, said in (
        (("--mask", ground / "none", ground / "in", tmp_path), "There is no folder"),
        (("--mask", ground / "in/sub", ground / "in", tmp_path), "has no mask for"),
        (("--mask-out", tmp_path, "-", "-"), "Masks go by the names"),
        (
            ("--mask-out", tmp_path, "--mask-format", "xyz", ground / "in", tmp_path),
            "--mask-format with one of",
        ),
        (("--mask-out", tmp_path / "m.png", ground / "in", tmp_path), "names a folder"),
        (("--mask-format", "jpg", ground / "in", tmp_path), "add --mask-out DIR"),
    ):
        done = drcnet(*base, *extra)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    other = drcnet(
        "restore", "-t", "denoise", "--mask-out", tmp_path / "m", ground / "in", tmp_path / "o"
    )
    assert other.returncode == 2
    assert "does not tell" in other.stderr


@pytest.mark.parametrize("clash", ["in", "in/sub", "out", "mask"])
def test_masks_never_lie_among_pictures(drcnet, ground, tmp_path, clash):
    shutil.copytree(ground / "in", tmp_path / "in")
    shutil.copytree(ground / "mask", tmp_path / "mask")
    before = (tmp_path / "in/a.png").read_bytes()
    done = drcnet(
        "restore", "--weights", ground / "w.safetensors", "--mask", tmp_path / "mask",
        "--mask-out", tmp_path / clash, tmp_path / "in", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 2
    assert "among the pictures in" in done.stderr and "folder of its own" in done.stderr
    assert (tmp_path / "in/a.png").read_bytes() == before and not (tmp_path / "out").exists()


def test_a_mask_that_changed_makes_its_output_stale(drcnet, ground, tmp_path):
    shutil.copytree(ground / "mask", tmp_path / "mask")
    command = (
        "restore", "--weights", ground / "w.safetensors", "--keep-dates", "--mask",
        tmp_path / "mask", ground / "in", tmp_path / "out",
    )  # fmt: skip
    assert drcnet(*command).returncode == 0
    same = drcnet(*command, "--update", "--json")
    assert {line["status"] for line in map(json.loads, lines(same))} == {"skipped"}
    touched = tmp_path / "mask/a.png"
    Image.fromarray(np.full((40, 50), 255, np.uint8)).save(touched)
    said = drcnet(*command)
    assert "1 output is older than its input or mask, or was made" in said.stderr, said.stderr
    again = drcnet(*command, "--update", "--json")
    statuses = {line["output"][-5:]: line["status"] for line in map(json.loads, lines(again))}
    assert statuses == {"a.png": "restored", "b.jpg": "skipped"}


def test_scores_by_regions_are_scores_and_no_note(drcnet, ground, tmp_path):
    for name in ("a.png", "sub/b.png"):
        mask = tmp_path / "mask" / name
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.tile(np.uint8([[0] * 25 + [255] * 25]), (40, 1))).save(mask)
    done = drcnet(
        "eval", "--task", "raindrop", "--weights", ground / "w.safetensors", "--quiet",
        "--lq", ground / "in", "--gt", ground / "in", "--masks", tmp_path / "mask",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "Inside the masks" in done.stdout
