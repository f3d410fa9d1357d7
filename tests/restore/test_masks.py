"""Masks through a restoration: found and given, in tiles, by the ensemble, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.files.plan import Job
from drcnet_cli.imageio import read_picture
from drcnet_cli.imageio.folder import read_mask, write_png
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.spair.config import SPAIRConfig
from drcnet_cli.networks.spair.network import SPAIR
from drcnet_cli.restore.outcome import WriteOptions
from drcnet_cli.restore.pipeline import restore_files
from drcnet_cli.restore.restorer import Restorer, check_finds_damage
from drcnet_cli.restore.small_copy import FADE
from drcnet_cli.restore.tiling import TileOptions
from drcnet_cli.tasks import TASKS

CONFIG = SPAIRConfig(widths=(4, 4), localisation_widths=(4, 4), only_masked=True)
INFO = CheckpointInfo(CONFIG, "s", arch="spair")
CPU = torch.device("cpu")


class Bright(nn.Module):
    """Takes bright pixels for damage, and makes damage black."""

    def __init__(self):
        super().__init__()
        self.config = CONFIG

    def forward(self, x, mask=None, *, return_mask=False):
        found = x.mean(1, keepdim=True) if mask is None else mask
        image = torch.where(found > 0.5, 0.0, x)
        return (image, found) if return_mask else image


def restorer(network=None, **settings):
    return Restorer(network or Bright(), INFO, device=CPU, **settings)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("tile", [0, 32])
def test_a_mask_is_found(pixels, tile, ensemble):
    made = restorer(tiling=TileOptions(tile, None if tile else 0), ensemble=ensemble)
    restored, mask = made.restore_with_mask(pixels)
    expected = pixels.mean(2)
    assert mask.shape == (70, 90, 1) and mask.dtype == np.uint8
    assert np.abs(mask[..., 0] - expected).max() <= 1
    assert np.array_equal(restored, made.restore(pixels))
    clear = np.abs(expected - 127.5) > 1
    black = np.where(expected[..., None] > 127.5, 0, pixels)
    assert np.array_equal(restored[clear], black[clear])


@pytest.mark.parametrize("tile", [0, 32])
def test_a_given_mask_counts_in_place_of_the_found_one(pixels, tile):
    mask = np.zeros((70, 90, 1), np.uint8)
    mask[20:60, 5:45] = 255
    restored, told = restorer(tiling=TileOptions(tile, None if tile else 0)).restore_with_mask(
        pixels, mask
    )
    assert told is mask
    assert np.array_equal(restored, np.where(mask == 255, 0, pixels))


def test_strength_leaves_the_mask(pixels):
    one, half = (restorer(strength=s).restore_with_mask(pixels)[1] for s in (1.0, 0.5))
    assert np.array_equal(one, half)


def test_gray_pictures_have_masks_too(pixels):
    gray = np.repeat(pixels[..., :1], 3, 2)
    restored, mask = restorer().restore_with_mask(gray)
    assert np.abs(mask.astype(int) - gray[..., :1]).max() <= 1
    assert np.array_equal(restored[..., 0], restored[..., 2])


def test_the_network_itself(pixels):
    torch.manual_seed(0)
    made = restorer(SPAIR(CONFIG))
    everywhere = np.full((70, 90, 1), 255, np.uint8)
    nowhere = np.zeros((70, 90, 1), np.uint8)
    assert np.array_equal(made.restore_with_mask(pixels, nowhere)[0], pixels)
    assert not np.array_equal(made.restore_with_mask(pixels, everywhere)[0], pixels)
    restored, mask = made.restore_with_mask(pixels)
    assert np.array_equal(restored, made.restore(pixels))
    assert 0 < mask.mean() < 255


def test_files_get_their_masks(pixels, tmp_path):
    write_png(tmp_path / "a.png", pixels)
    given = np.zeros_like(pixels)
    given[10:20] = 255
    write_png(tmp_path / "told.png", given)
    small = tmp_path / "small.png"
    write_png(small, given[:5])
    jobs = [
        Job(tmp_path / "a.png", tmp_path / "1.png", mask_out=tmp_path / "m/1.webp"),
        Job(tmp_path / "a.png", tmp_path / "2.png", mask=tmp_path / "told.png"),
        Job(tmp_path / "a.png", tmp_path / "3.png", mask=small),
    ]
    one, two, three = sorted(
        restore_files(jobs, restorer(), WriteOptions()), key=lambda done: done.job.destination
    )
    assert one.error is None and two.error is None
    found = read_picture(tmp_path / "m/1.webp").pixels
    assert np.abs(found[..., 0] - pixels.mean(2)).max() <= 1
    restored = read_picture(tmp_path / "2.png").pixels
    assert np.array_equal(restored, np.where(given == 255, 0, pixels))
    assert three.error is not None and "90 x 5 pixels, not 90 x 70" in three.error.message


def test_a_mask_of_colours_counts_by_the_brightest(tmp_path):
    colours = np.zeros((2, 3, 3), np.uint8)
    colours[0, 1] = [255, 0, 9]
    write_png(tmp_path / "m.png", colours)
    assert read_mask(tmp_path / "m.png", (2, 3, 1))[..., 0].tolist() == [[0, 255, 0], [0, 0, 0]]
    with pytest.raises(ImageError, match="its mask"):
        read_mask(tmp_path / "m.png", (3, 3, 3))


def test_networks_that_find_nothing_are_refused():
    from drcnet_cli.networks.drcnet import DRCNetConfig

    check_finds_damage(INFO)
    with pytest.raises(UsageError, match="DRCNet, which does not tell") as error:
        check_finds_damage(CheckpointInfo(DRCNetConfig(), "d"))
    assert "SPAIR" in error.value.hint


@pytest.mark.parametrize("given", [False, True])
def test_masks_of_a_picture_restored_by_a_small_copy(given):
    # Bright stripes, wide enough for a copy of TASKS["deshadow"].small_side pixels to show.
    pixels = np.full((700, 1500, 3), 40, np.uint8)
    pixels[:, 300:900] = 220
    mask = np.zeros((700, 1500, 1), np.uint8)
    mask[200:500] = 255
    made = Restorer(Bright(), replace(INFO, task="deshadow"), device=CPU)
    restored, found = made.restore_with_mask(pixels, mask if given else None)
    assert "whole image at 768 pixels or less" in made.describe()
    if given:
        assert found is mask
        expected = np.where(mask == 255, 0, pixels)
        kept = np.ones(pixels.shape[:2], bool)
        kept[200 - 2 * FADE : 500 + 2 * FADE] = False
        assert np.array_equal(restored[kept], pixels[kept])
    else:
        assert np.abs(found.astype(int)[:, 310:890] - 220).max() <= 1
        assert np.abs(found.astype(int)[:, 910:] - 40).max() <= 1
        expected = np.where(pixels == 220, 0, pixels)
    # But near the edges, where lines of both sides are averaged.
    far = 2 * 2 * TASKS["deshadow"].small_radius  # twice, in pixels of a copy half as large
    inner = np.ones(pixels.shape[:2], bool)
    for edge in (200, 500) if given else (300, 900):
        (inner if given else inner.T)[edge - far : edge + far] = False
    assert np.abs(restored.astype(int) - expected)[inner].max() <= 3
