"""What `drcnet restore` decides and says before it computes."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from conftest import save_photograph

from drcnet_cli import settings
from drcnet_cli.cli._options import _use_threads
from drcnet_cli.cli._restore_plan import Asked, Made, Masks, choose_names, plan_run, plan_stream
from drcnet_cli.errors import UsageError, WeightsError
from drcnet_cli.networks.checkpoint import CheckpointInfo, save_checkpoint
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.restore.outcome import WriteOptions
from drcnet_cli.weights.manifest import load_manifest

MADE = Made("denoise", "auto", None, False, 1.0)
NO_MASKS = Masks(None, None)
WRITTEN = WriteOptions()


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    save_photograph(tmp_path / "a.png")


def plan(paths, in_place=False, overwrite=False, update=False, quiet=False, rename=None):
    asked = Asked(paths, in_place, overwrite, update, rename)
    return plan_run(asked, WRITTEN, partial(MADE.recipe, WRITTEN), NO_MASKS, None, quiet)


def test_a_recipe_knows_what_changes_results(tiny_weights):
    others = [
        Made("derain", "auto", None, False, 1.0),
        Made(tiny_weights, "auto", None, False, 1.0),
        Made("denoise", "128", None, False, 1.0),
        Made("denoise", "auto", 8, False, 1.0),
        Made("denoise", "auto", None, True, 1.0),
        Made("denoise", "auto", None, False, 0.5),
    ]
    writings = [
        WriteOptions(quality=80),
        WriteOptions(strip_metadata=True),
        WriteOptions(float_range=255),
        WriteOptions(background="white"),
    ]
    recipes = {made.recipe(WRITTEN) for made in (MADE, *others)}
    recipes |= {MADE.recipe(written) for written in writings}
    assert len(recipes) == 1 + len(others) + len(writings)
    # A task and the name of its default checkpoint are the same thing; dates are no setting of it.
    assert Made("drcnet-s-denoise", "auto", None, False, 1.0).recipe(WRITTEN) == MADE.recipe(
        WRITTEN
    )
    assert MADE.recipe(WriteOptions(keep_dates=True)) == MADE.recipe(WRITTEN)
    with pytest.raises(WeightsError, match=r"missing\.safetensors"):
        Made(Path("missing.safetensors"), "auto", None, False, 1.0).recipe(WRITTEN)


def test_autos_recipe_knows_the_checkpoints_that_it_chooses_from(monkeypatch):
    auto = Made("auto", "auto", None, False, 1.0)
    before, alone = auto.recipe(WRITTEN), replace(auto, experts=False).recipe(WRITTEN)
    assert Made("airnet-s-auto", "auto", None, False, 1.0).recipe(WRITTEN) == before != alone
    manifest = load_manifest()
    renewed = [
        replace(each, sha256="0" * 64) if each.name == "drcnet-s-derain" else each
        for each in manifest.checkpoints
    ]
    other = replace(manifest, checkpoints=tuple(renewed))
    for place in ("fetch", "manifest"):
        monkeypatch.setattr(f"drcnet_cli.weights.{place}.load_manifest", lambda: other)
    assert auto.recipe(WRITTEN) != before
    assert replace(auto, experts=False).recipe(WRITTEN) == alone


@pytest.mark.parametrize("overwrite", [False, True])
def test_in_place_without_a_journal_is_warned_of(overwrite, tmp_path, monkeypatch, capsys):
    assert len(plan(["a.png"], in_place=True, overwrite=overwrite).jobs) == 1
    said = capsys.readouterr().err
    assert "--in-place is final" in said
    assert "Warning" not in said
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "a.png" / "cache"))
    assert len(plan(["a.png"], in_place=True, overwrite=overwrite, quiet=True).jobs) == 1
    said = capsys.readouterr().err
    assert said.startswith("Warning: the journal of runs cannot be used")
    assert "final" not in said
    assert len(plan(["a.png", "b.png"]).jobs) == 1
    assert capsys.readouterr().err == ""


def test_in_place_and_update_are_refused_together():
    with pytest.raises(UsageError, match="--update"):
        plan(["a.png"], in_place=True, update=True)


def test_the_output_may_be_spelled_like_an_input(tmp_path):
    assert plan(["~/a.png", "~/b.png"]).jobs[0].destination == tmp_path / "b.png"
    assert (
        plan(["a.png", f"file://{tmp_path}/o%20k/"]).jobs[0].destination == tmp_path / "o k/a.png"
    )


def test_a_stream_takes_no_suffix():
    with pytest.raises(UsageError, match="--suffix"):
        plan_stream(["-", "b.png"], None, "_x", NO_MASKS, False, False)


def test_threads_are_told_to_torch_and_to_what_is_started(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert _use_threads(None) is None
    assert settings.threads_given()
    _use_threads(3)
    assert os.environ["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("pattern", "suffix", "task", "checkpoint", "name"),
    [
        ("", "", "denoise", "denoise", None),
        ("", "_{x}", "denoise", "denoise", "a_{x}.png"),
        ("{stem}_{task}{ext}", "", "denoise", "denoise", "a_denoise.png"),
        (
            "{task} {model} {stem}{ext}",
            "",
            None,
            "drcnet-m-denoise",
            "denoise drcnet-m-denoise a.png",
        ),
    ],
)
def test_outputs_are_named_as_asked(pattern, suffix, task, checkpoint, name):
    rename = choose_names(pattern, suffix, task, checkpoint)
    assert (rename and rename("a", ".png")) == name


@pytest.mark.parametrize(
    ("name", "task", "asked", "expected"),
    [
        ("my net", "denoise", None, "denoise-my net-a.png"),
        ("", None, "derain", "derain-own-a.png"),
        ("../up", "denoise", "denoise", "denoise-own-a.png"),
    ],
)
def test_a_checkpoint_of_ones_own_tells_its_name_and_task(tmp_path, name, task, asked, expected):
    path = tmp_path / "own.safetensors"
    network = DRCNet(DRCNetConfig(width=2, depth=1))
    save_checkpoint(path, network.state_dict(), CheckpointInfo(network.config, name, task))
    rename = choose_names("{task}-{model}-{stem}{ext}", "", asked, path)
    assert rename is not None and rename("a", ".png") == expected


@pytest.mark.parametrize("name", ["{stem}.txt", "{stem}"])
def test_names_that_no_picture_has_are_refused_before_the_work(name):
    with pytest.raises(UsageError, match=r"\.txt|suffix"):
        plan(["a.png", "out/"], rename=choose_names(name, "", "denoise", "denoise"))


@pytest.mark.parametrize(
    ("pattern", "suffix", "said"),
    [
        ("{stem}{ext}", "_x", "both name"),
        ("{task}{ext}", "", "Nothing says what"),
        ("{stem}{end}", "", "{end}"),
        ("", "a/b", "no part"),
    ],
)
def test_names_that_cannot_be_are_refused(pattern, suffix, said, tiny_weights):
    with pytest.raises(UsageError) as refused:
        choose_names(pattern, suffix, None, tiny_weights)
    assert said in refused.value.message
