"""Drops and shadows: damage that leaves the rest as it is, and tells where it is."""

import numpy as np
import pytest

from drcnet_cli.degrade import DEGRADATIONS, degrade
from drcnet_cli.degrade.folder import PairPlan, make_pairs
from drcnet_cli.degrade.preview import contact_sheet, draw_scene
from drcnet_cli.imageio.folder import read_rgb8, write_png

KINDS = [kind for kind in DEGRADATIONS if kind.startswith(("raindrop", "shadow"))]


@pytest.fixture(scope="module")
def scene():
    return draw_scene(np.random.default_rng(0), 120, 150) * np.float32(0.8) + np.float32(0.1)


def inside_and_outside(pair):
    error, masked = (pair.degraded - pair.clean) ** 2, pair.mask[0] > 0
    return error[:, masked].mean(), error[:, ~masked].mean()


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_where_the_mask_is(kind, scene):
    for seed in range(6):
        pair = degrade(scene, kind, np.random.default_rng(seed))
        assert np.array_equal(pair.clean, scene)
        assert pair.mask.shape == (1, *scene.shape[1:])
        assert pair.mask.dtype == np.float32
        assert set(np.unique(pair.mask)) == {0, 1}
        np.testing.assert_allclose(np.rint(pair.degraded * 255), pair.degraded * 255, atol=1e-4)
        inside, outside = inside_and_outside(pair)
        assert inside > 20 * outside
        assert outside < 1e-4  # 40 dB: soft edges, and rounding to 8 bits


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers_give_the_same_bits(kind, scene):
    one, two, other = (degrade(scene, kind, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.degraded, two.degraded)
    assert np.array_equal(one.mask, two.mask)
    assert not np.array_equal(one.degraded, other.degraded)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (16, 16), (9, 200)])
@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_any_size(kind, shape):
    picture = np.random.default_rng(0).random((3, *shape), dtype=np.float32)
    pair = degrade(picture, kind, np.random.default_rng(1))
    assert pair.degraded.shape == picture.shape
    assert np.isfinite(pair.degraded).all()
    assert pair.degraded.min() >= 0 and pair.degraded.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_can_see_is_not_masked(kind):
    black = np.zeros((3, 64, 64), np.float32)
    pair = degrade(black, kind, np.random.default_rng(0))
    differs = np.abs(pair.degraded - black).max(0) > 0
    if kind.startswith("shadow"):
        assert not differs.any()
    assert differs.any() or not pair.mask.any()


def test_shadows_are_darker_and_cooler(scene):
    gray = np.full_like(scene, 0.7)
    pair = degrade(gray, "shadow-hard", np.random.default_rng(3))
    masked = pair.mask[0] > 0
    red, green, blue = (pair.degraded[channel][masked].mean() for channel in range(3))
    assert max(red, green, blue) < 0.65
    assert red <= green <= blue


def test_heavy_drops_cover_more_than_light_ones(scene):
    light, heavy = (
        np.mean([degrade(scene, kind, np.random.default_rng(n)).mask.mean() for n in range(12)])
        for kind in ("raindrop-light", "raindrop-heavy")
    )
    assert heavy > 2 * light


@pytest.mark.usefixtures("own_cache")
def test_sheets_and_pairs_have_the_masks(scene, tmp_path):
    pixels = np.rint(scene.transpose(1, 2, 0) * 255).astype(np.uint8)
    plain, masked = (
        contact_sheet([pixels], kind, seed=0, columns=2) for kind in ("rain", "shadow")
    )
    assert masked.shape[1] == plain.shape[1] // 3 * 5
    write_png(tmp_path / "in/a.png", pixels)
    make_pairs(tmp_path / "in", tmp_path / "out", PairPlan("raindrop", seed=1))
    degraded, clean, mask = (read_rgb8(tmp_path / f"out/{x}/a.png") for x in ("lq", "gt", "mask"))
    assert set(np.unique(mask)) == {0, 255}
    apart = np.abs(degraded.astype(int) - clean).max(2)
    assert apart[mask[..., 0] == 255].mean() > 5 * apart[mask[..., 0] == 0].mean()
