"""Which tiles an image gets."""

import pytest

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.restore.tiling import DEFAULT_TILE, LARGEST_OWN_TILE, TileOptions, TileRule

CONFIG = DRCNetConfig(width=4, depth=2)


def rule(patch: int | None, task: str | None = None, **wishes) -> TileRule:
    return TileOptions(**wishes).settle(CheckpointInfo(CONFIG, training_patch=patch, task=task))


def tiles(plan):
    return len(plan.tops), len(plan.lefts), plan.tile_height, plan.tile_width


def computed(plan):
    return len(plan) * plan.tile_height * plan.tile_width / (plan.height * plan.width)


def test_small_patches_keep_to_their_size():
    assert tiles(rule(64).plan(480, 320)) == (9, 6, 64, 64)
    assert rule(64).describe() == "tile 64, overlap 8"


def test_large_patches_fit_the_tiles_to_the_image():
    assert rule(192).describe() == "tile up to 192, overlap 24"
    assert tiles(rule(192).plan(160, 192)) == (1, 1, 160, 192)
    assert tiles(rule(192).plan(200, 300)) == (2, 2, 112, 168)
    assert computed(rule(192).plan(320, 480)) < 1.22  # with tiles of 192 alone: 1.44


def test_large_pictures_of_fine_damage_overlap_less():
    fine, coarse = rule(192, "denoise"), rule(192, "derain")
    assert fine.describe() == "tile up to 192, overlap 24 (large pictures 16)"
    assert computed(fine.plan(3000, 4000)) < 1.21 < 1.32 < computed(coarse.plan(3000, 4000))
    for other in (rule(192), coarse, rule(192, "denoise", overlap=24)):
        assert other.plan(3000, 4000) == rule(192).plan(3000, 4000)
    assert rule(192, "denoise", tile=192).plan(3000, 4000) == coarse.plan(3000, 4000)
    assert fine.plan(768, 512) == coarse.plan(768, 512)  # as the evaluation's sets have them


def test_a_tiny_image_is_not_extended_to_a_whole_patch():
    assert tiles(rule(192).plan(1, 30)) == (1, 1, 96, 96)


def test_an_unknown_patch_counts_as_the_default():
    assert rule(None) == rule(DEFAULT_TILE)


def test_a_checkpoint_cannot_ask_for_tiles_without_end():
    assert rule(4096).largest == LARGEST_OWN_TILE


def test_a_size_that_is_asked_for_is_used_as_it_is():
    assert tiles(rule(192, tile=128).plan(300, 300)) == (3, 3, 128, 128)
    assert rule(192, tile=128).overlap == 16
    assert rule(192, overlap=40).describe() == "tile up to 192, overlap 40"
    assert tiles(rule(192, tile=0).plan(300, 310)) == (1, 1, 304, 312)
    assert rule(192, tile=0).describe() == "whole image"


def test_a_tile_far_beyond_the_image_is_not_filled_up():
    assert tiles(rule(64, tile=4096).plan(100, 130)) == (1, 1, 136, 136)


def test_the_published_way_has_tiles_of_one_size():
    assert tiles(rule(192, tile=256, published=True).plan(300, 300)) == (2, 2, 256, 256)
    assert "as published" in rule(192, published=True).describe()


@pytest.mark.parametrize("wishes", [{"tile": 20}, {"overlap": 400}, {"batch": 0}, {"tile": -8}])
def test_impossible_sizes_are_refused(wishes):
    with pytest.raises(UsageError):
        rule(192, **wishes)
