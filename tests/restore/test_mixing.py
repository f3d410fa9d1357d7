"""Grain that comes back: so much of the luma that was taken, and no colour."""

import json

import numpy as np
import pytest
import torch
from conftest import photograph, save_photograph

from drcnet_cli import restore_image
from drcnet_cli.errors import UsageError
from drcnet_cli.imageio import read_picture
from drcnet_cli.restore.config import RestoreConfig, open_model, open_restorer
from drcnet_cli.restore.mixing import check_grain, keep_luma
from drcnet_cli.restore.tiling import TileOptions

WEIGHTS = np.array([0.299, 0.587, 0.114])


def luma(picture):
    return picture.astype(float) @ WEIGHTS


def restored(picture, keep_grain, **options):
    config = RestoreConfig("denoise", dtype="float32", keep_grain=keep_grain, **options)
    return open_restorer(config).restore(picture)


@pytest.fixture(scope="module")
def noisy():
    noise = np.random.default_rng(0).normal(0, 20, (40, 48, 3))
    picture = 64 + photograph(40, 48) / 2 + noise
    return (picture / 255).clip(0.1, 0.9).astype(np.float32)


def test_luma_comes_back_by_its_share_and_colour_stays(noisy):
    none, some, all_of_it = (restored(noisy, share) for share in (0.0, 0.25, 1.0))
    assert np.abs(luma(all_of_it) - luma(noisy)).max() < 1e-5
    assert np.abs(luma(some) - (0.75 * luma(none) + 0.25 * luma(noisy))).max() < 1e-5
    for grained in (some, all_of_it):
        added = grained - none
        assert np.abs(added).max() > 0.01 and np.ptp(added, axis=2).max() < 1e-5


def test_gray_gets_a_blend_and_strength_is_of_what_comes_of_it(noisy):
    gray = noisy[..., :1]
    blend = 0.7 * restored(gray, 0) + 0.3 * gray
    assert np.abs(restored(gray, 0.3) - blend).max() < 2e-3  # the network's gray has a faint tint
    half = restored(noisy, 0.3, strength=0.5)
    assert np.abs(half - (restored(noisy, 0.3) + noisy) / 2).max() < 1e-5


def test_it_is_told_and_checked():
    model = open_model(RestoreConfig("denoise"))
    assert "keep grain 0.3" in model.restorer(keep_grain=0.3).facts().description
    assert "grain" not in model.restorer().facts().description
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="grain that is kept cannot be"):
            model.restorer(TileOptions(), keep_grain=wrong)
    with pytest.raises(UsageError, match="for derain"):
        check_grain(0.3, "derain", chooses=False)
    assert check_grain(0.3, "auto", chooses=True) == check_grain(0.3, None, chooses=False) == 0.3


def test_of_what_auto_chooses_the_one_for_noise_keeps_it():
    experts = open_model(RestoreConfig("auto", "auto", keep_grain=0.3)).experts
    kept = {task: experts(task, print).keep_grain for task in ("denoise", "derain")}
    assert kept == {"denoise": 0.3, "derain": 0}
    with pytest.raises(UsageError, match="Grain is kept where noise is removed"):
        open_restorer(RestoreConfig("auto", "auto", experts=False, keep_grain=0.3))


def test_no_value_leaves_the_range():
    white, black = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    assert keep_luma(white, black, 0.5).eq(0.5).all()
    assert keep_luma(white, torch.full_like(white, 0.9), 1.0).max() <= 1


def test_the_command_and_python_keep_the_same(drcnet, tmp_path):
    save_photograph(tmp_path / "a.png")
    call = ("restore", "--task", "denoise", "--dtype", "float32", "--keep-grain", "0.5", "--json")
    done = drcnet(*call, "a.png", "b.png", "--report", "page.html")
    assert json.loads(done.stdout)["keep_grain"] == 0.5, done.stderr
    assert "keep grain 0.5" in (tmp_path / "page.html").read_text("utf-8")
    pixels, result = (read_picture(tmp_path / name).pixels for name in ("a.png", "b.png"))
    model = open_model(RestoreConfig("denoise", dtype="float32"))
    expected = restore_image(pixels, model=model, keep_grain=0.5)
    assert np.abs(result.astype(int) - expected).max() <= 1
    other = drcnet(*call, "a.png", "c.png", "--task", "derain")
    assert other.returncode == 2 and "Grain is kept where noise is removed" in other.stderr


def test_results_of_another_share_are_stale():
    from drcnet_cli.cli._restore_plan import Made
    from drcnet_cli.restore.outcome import WriteOptions

    plain, none, some = (
        Made("denoise", "auto", None, False, 1.0, **more).recipe(WriteOptions())
        for more in ({}, {"keep_grain": 0.0}, {"keep_grain": 0.3})
    )
    assert plain == none != some
