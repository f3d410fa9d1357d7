"""The tiling contract, clause by clause, as far as it needs no network."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.errors import UsageError
from drcnet_cli.restore.tiling import (
    RowBlender,
    axis_starts,
    axis_weights,
    cut_tile,
    fitted_tiles,
    pad_tile,
    plan_tiles,
    published_tiles,
)

tilings = st.sampled_from([0, 16, 24, 32, 64]).flatmap(
    lambda tile: st.tuples(st.just(tile), st.integers(0, max(0, tile - 1)))
)
sides = st.integers(1, 150)


def blend_identity(image, plan):
    """Put an image through the tiles and back."""
    out = np.full_like(image, np.nan)
    tops = []

    def keep(top, rows):
        tops.append((top, rows.shape[1]))
        out[:, top : top + rows.shape[1]] = rows

    blender = RowBlender(plan, keep)
    for top, left in plan:
        blender.add(cut_tile(plan, image, top, left))
    return out, tops


@settings(deadline=None, max_examples=150)
@given(sides, sides, tilings, st.sampled_from([255, 65535]))
def test_identity_network_gives_the_input_back(height, width, tiling, levels):
    rng = np.random.default_rng(height * 1000 + width)
    image = rng.integers(0, levels + 1, (3, height, width))
    out, tops = blend_identity(
        (image / levels).astype(np.float32), plan_tiles(height, width, *tiling)
    )
    assert np.array_equal(np.rint(out.astype(np.float64) * levels), image)
    # Each row goes out exactly once, top to bottom.
    assert [top for top, _ in tops] == list(np.cumsum([0, *[n for _, n in tops]])[:-1])
    assert sum(n for _, n in tops) == height


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 3000), tilings)
def test_tiles_are_equal_cover_everything_and_overlap_enough(length, tiling):
    tile, overlap = tiling
    if not tile:
        return
    starts = axis_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] + tile == max(length, tile)
    for previous, following in zip(starts, starts[1:], strict=False):
        assert previous < following
        assert previous + tile - following >= overlap


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 3000), tilings)
def test_as_few_tiles_as_possible(length, tiling):
    tile, overlap = tiling
    if not tile or length <= tile:
        return
    starts = axis_starts(length, tile, overlap)
    assert (len(starts) - 1) * (tile - overlap) + tile < length + (tile - overlap)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 1000), tilings)
def test_weights_are_positive_and_sum_to_one(length, tiling):
    tile, overlap = tiling
    if not tile:
        return
    starts = axis_starts(length, tile, overlap)
    total = np.zeros(starts[-1] + tile)
    for start, weight in zip(starts, axis_weights(starts, tile), strict=True):
        assert (weight >= 0).all()
        total[start : start + tile] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_weights_are_smooth():
    starts = axis_starts(1000, 64, 24)
    for weight in axis_weights(starts, 64):
        assert np.abs(np.diff(weight)).max() < 2.2 / 24  # a raised cosine's steepest step: pi/2/n


def test_whole_image_is_one_tile_of_a_fitting_size():
    plan = plan_tiles(13, 700, 0, 0)
    assert (len(plan), plan.tile_height, plan.tile_width) == (1, 16, 704)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40))
def test_small_images_are_reflected(height, width):
    image = np.arange(height * width, dtype=np.float32).reshape(1, height, width)
    padded = pad_tile(image, 64, 64)
    assert padded.shape == (1, 64, 64)
    assert np.array_equal(padded[:, :height, :width], image)
    if height > 2 and width > 2:
        assert np.array_equal(padded[0, height, :width], image[0, height - 2])
        assert np.array_equal(padded[0, :height, width], image[0, :, width - 2])
    assert set(np.unique(padded)) <= set(np.unique(image))


@pytest.mark.parametrize(
    ("tile", "overlap"), [(100, 0), (8, 0), (-8, 0), (64, 64), (64, -1), (64, 100)]
)
def test_impossible_sizes_are_refused_with_a_size_that_works(tile, overlap):
    with pytest.raises(UsageError) as caught:
        plan_tiles(50, 50, tile, overlap)
    words = caught.value.hint.split()
    number = int(words[-1])
    plan_tiles(50, 50, number, 0) if "--tile" in words else plan_tiles(50, 50, tile, number)


@pytest.mark.parametrize(
    ("tile", "overlap", "hint"),
    [
        (100, 0, "--tile 96"),
        (101, 0, "--tile 104"),
        (8, 0, "--tile 16"),
        (-64, 0, "--tile 16"),
        (64, 64, "--overlap 16"),
        (0, -1, "--overlap 0"),
    ],
)
def test_the_size_that_is_offered_is_near(tile, overlap, hint):
    with pytest.raises(UsageError) as caught:
        plan_tiles(50, 50, tile, overlap)
    assert caught.value.hint == f"Use {hint}"


def test_a_plan_fades_its_tiles_and_the_published_one_does_not():
    ours, published = plan_tiles(100, 100, 64, 28), published_tiles(100, 100, 64)
    for first, second in (ours.row_weights, ours.column_weights):
        assert first[0] == second[-1] == 1
        assert 0 < first[-1] == second[0] < 0.01
    assert {*published.row_weights[0], *published.column_weights[1]} == {0.5, 1.0}


@settings(deadline=None, max_examples=100)
@given(sides, sides, st.sampled_from([16, 24, 64]))
def test_published_tiles_average_plainly(height, width, tile):
    image = np.random.default_rng(height * 1000 + width).random((3, height, width), np.float32)
    plan = published_tiles(height, width, tile)
    out, _ = blend_identity(image, plan)
    assert np.allclose(out, image, atol=1e-6)
    # As few as cover it, and a pixel's tiles count alike.
    assert len(plan.tops) == -(-height // tile)
    for weights in (*plan.row_weights, *plan.column_weights):
        assert np.allclose(1 / weights, np.rint(1 / weights), atol=1e-4)


def test_published_tiles_lie_where_the_released_code_puts_them():
    plan = published_tiles(481, 321, 256)
    assert (plan.tops, plan.lefts) == ((0, 225), (0, 65))
    # Steps are rounded up: (600 - 256) / 2 = 172, (1281 - 256) / 5 = 205, (515 - 256) / 2 = 129.5.
    assert published_tiles(600, 1281, 256).tops == (0, 172, 344)
    assert published_tiles(600, 1281, 256).lefts == (0, 205, 410, 615, 820, 1025)
    assert published_tiles(515, 256, 256).tops == (0, 130, 259)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([(96, 192, 16), (16, 64, 8)]))
def test_fitted_tiles_are_as_few_as_large_ones_and_no_larger_than_needed(height, width, sizes):
    smallest, largest, overlap = sizes
    plan = fitted_tiles(height, width, smallest=smallest, largest=largest, overlap=overlap)
    coarse = plan_tiles(height, width, largest, overlap)
    assert len(plan) == len(coarse)
    for length, starts, tile in (
        (height, plan.tops, plan.tile_height),
        (width, plan.lefts, plan.tile_width),
    ):
        assert smallest <= tile <= largest and tile % 8 == 0
        assert starts[-1] + tile >= length
        assert all(b - a <= tile - overlap for a, b in zip(starts, starts[1:], strict=False))
        smaller = tile - 8
        if smaller >= smallest:  # would not do with as many
            assert len(starts) * smaller - (len(starts) - 1) * overlap < length


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 200), st.integers(1, 200))
def test_identity_survives_fitted_tiles(height, width):
    image = np.random.default_rng(height * 1000 + width).random((3, height, width), np.float32)
    plan = fitted_tiles(height, width, smallest=16, largest=64, overlap=8)
    out, _ = blend_identity(image, plan)
    assert np.abs(out - image).max() < 1e-6
