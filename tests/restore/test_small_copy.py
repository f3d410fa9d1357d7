"""Smooth damage mended in a small copy: what is carried over, and what stays exactly as it is."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from drcnet_cli.imageio import from_unit, to_planes
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.restore.mixing import blend
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.small_copy import FADE, carry_over, enlarged, faded, reduced
from drcnet_cli.restore.tiling import TileOptions
from drcnet_cli.tasks import TASKS

SIDE, RADIUS = TASKS["dehaze"].small_side, TASKS["dehaze"].small_radius
HAZE = CheckpointInfo(DRCNetConfig(width=4, depth=2), training_patch=64, task="dehaze")


def pixels_of(height, width, channels=3, dtype=np.uint8, seed=0):
    values = np.random.default_rng(seed).random((height, width, channels))
    return (
        values.astype(dtype)
        if dtype == np.float32
        else (values * np.iinfo(dtype).max).astype(dtype)
    )


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    side=st.integers(1, 64),
)
def test_what_did_not_change_stays_to_the_bit(height, width, channels, dtype, side):
    pixels = pixels_of(height, width, channels, dtype)
    copy = reduced(pixels, side)
    assert copy.dtype == dtype and copy.shape[2] == channels
    assert max(copy.shape[:2]) == min(side, max(height, width))
    assert np.array_equal(carry_over(pixels, copy, copy, RADIUS), pixels)
    assert enlarged(copy, height, width).shape == pixels.shape


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("slope", "offset"), [(0.5, 0.1), (1.4, -0.3)])
def test_one_line_for_all_is_carried_over_exactly(dtype, slope, offset):
    # Detail that the copy cannot show (single pixels) changes by the same line.
    pixels = from_unit(
        0.3 + 0.4 * to_planes(pixels_of(150, 210, dtype=dtype)), like=np.empty(3, dtype)
    )
    copy = to_planes(reduced(pixels, 60)).transpose(1, 2, 0)
    contrast = np.float32(40)  # so that the evenness does not count
    wide = (copy - 0.5) * contrast + 0.5
    changed = carry_over(pixels, wide, (slope * wide + offset).astype(np.float32), RADIUS)
    expected = from_unit(slope * to_planes(pixels) + offset, like=pixels)
    peak = 1 if dtype == np.float32 else np.iinfo(dtype).max
    assert np.abs(changed.astype(float) - expected).max() / peak < 0.006


def test_an_even_surface_shifts_and_keeps_its_grain():
    pixels = pixels_of(200, 200, dtype=np.float32) * 0.02 + 0.4
    copy = reduced(pixels, 40)
    changed = carry_over(pixels, copy, copy - np.float32(0.2), RADIUS)
    np.testing.assert_allclose(changed, pixels - 0.2, atol=1e-3)


def test_a_line_is_that_of_the_surroundings():
    # A slow reference in one channel: least squares in each window, then the mean of the lines.
    rng = np.random.default_rng(1)
    before = rng.random((30, 30, 1), dtype=np.float32)
    after = cv2.GaussianBlur(before, (0, 0), 2)[..., None] * np.float32(0.7)
    side = 2 * RADIUS + 1

    def windows(plane):
        padded = np.pad(plane, RADIUS, "edge")
        return np.lib.stride_tricks.sliding_window_view(padded, (side, side)).reshape(30, 30, -1)

    x, y = windows(before[..., 0].astype(float)), windows(after[..., 0].astype(float))
    covariance = (x * y).mean(-1) - x.mean(-1) * y.mean(-1)
    slope = (covariance + 1e-3) / (x.var(-1) + 1e-3)
    offset = y.mean(-1) - slope * x.mean(-1)
    expected = windows(slope).mean(-1) * before[..., 0] + windows(offset).mean(-1)
    changed = carry_over(before, before, after, RADIUS)[..., 0]
    np.testing.assert_allclose(changed, expected.clip(0, 1), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_without_a_radius_the_change_is_added(dtype):
    pixels = from_unit(
        0.2 + 0.5 * to_planes(pixels_of(150, 210, dtype=dtype)), like=np.empty(3, dtype)
    )
    copy = to_planes(reduced(pixels, 60)).transpose(1, 2, 0)
    change = np.zeros_like(copy)
    change[10:30, 20:45] = 0.2
    changed = carry_over(pixels, copy, copy + change, 0)
    expected = to_planes(pixels) + enlarged(change, 150, 210).transpose(2, 0, 1)
    step = 1e-5 if dtype == np.float32 else 1 / np.iinfo(dtype).max
    assert np.abs(to_planes(changed) - expected).max() <= step
    far = np.ones(pixels.shape[:2], bool)
    far[30:110, 60:165] = False
    assert np.array_equal(changed[far], pixels[far])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_mask_fades_over_a_few_pixels_and_blending_by_it_is_exact_beyond(dtype):
    mask = np.zeros((50, 70, 1), np.uint8)
    mask[20:30, 25:40] = 255
    mask[:5, 60:] = 127  # not white
    share = faded(mask)
    rows, columns = np.mgrid[:50, :70]
    far = np.maximum(np.maximum(20 - rows, rows - 29), np.maximum(25 - columns, columns - 39))
    assert (share[far <= 0] == 1).all() and (share[far >= 2 * FADE + 1] == 0).all()
    assert (np.diff(share[25, 25 - 2 * FADE : 26]) > 0).all()
    before, after = pixels_of(50, 70, dtype=dtype), pixels_of(50, 70, dtype=dtype, seed=1)
    mixed = blend(before, after, share)
    assert mixed.dtype == dtype
    assert np.array_equal(mixed[share == 0], before[share == 0])
    np.testing.assert_allclose(mixed[share == 1], after[share == 1], rtol=0, atol=1e-6)


class Seen(nn.Module):
    """Halves what it gets, and keeps the sizes."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, x):
        self.sizes.append(tuple(x.shape[2:]))
        return x * 0.5


def restorer(network, **more):
    return Restorer(network, HAZE, device=torch.device("cpu"), **more)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [((900, 1200), (3 * SIDE // 4, SIDE)), ((1200, 300), (SIDE, SIDE // 4)), ((9, 130), (16, 136))],
)
def test_the_network_sees_all_of_a_small_copy(shape, seen):
    network = Seen()
    made = restorer(network)
    pixels = pixels_of(*shape)
    shares = []
    restored = made.restore(pixels, shares.append)
    assert network.sizes == [seen]
    assert sum(shares) == pytest.approx(1)
    assert restored.shape == pixels.shape and restored.dtype == np.uint8
    assert f"whole image at {SIDE} pixels or less" in made.describe()
    assert restored.mean() == pytest.approx(pixels.mean() / 2, rel=0.02)


def test_the_change_of_a_picture_that_is_small_already_is_fitted_too():
    class Flicker(nn.Module):
        def forward(self, x):
            return x + 0.2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0))

    pixels = from_unit(
        0.4 * to_planes(pixels_of(120, SIDE - 5)).astype(np.float32), like=pixels_of(1, 1)
    )
    alone = restorer(Flicker(), tiling=TileOptions(0)).restore(pixels)
    restored = restorer(Flicker()).restore(pixels)
    expected = carry_over(pixels, pixels, alone, RADIUS)
    assert np.abs(restored.astype(int) - expected).max() <= 1  # `alone` is rounded
    assert (restored.astype(float) - pixels).std() < 0.2 * (alone.astype(float) - pixels).std()


def test_drops_need_a_copy_in_large_pictures_alone():
    side = TASKS["raindrop"].small_side
    network = Seen()
    made = Restorer(network, replace(HAZE, task="raindrop"), device=torch.device("cpu"))
    small, large = pixels_of(40, side), pixels_of(70, 2 * side)
    assert np.array_equal(made.restore(small), np.rint(small / 2).astype(np.uint8))
    halved = made.restore(large).astype(float) - large
    assert network.sizes == [(40, side), (40, side)]
    # The copy's half is taken off; what is finer than the copy stays.
    expected = enlarged(reduced(large, side).astype(np.float32) / -2, *large.shape[:2])
    inner = (large > 140) & (large < 250)
    assert np.abs(halved - expected)[inner].max() <= 1.5


@pytest.mark.parametrize("options", [TileOptions(64), TileOptions(0), TileOptions(overlap=8)])
def test_who_asks_for_tiles_gets_the_picture_itself(options):
    network = Seen()
    restorer(network, tiling=options).restore(pixels_of(96, 500))
    assert max(max(size) for size in network.sizes) in (64, 504)
    assert np.array_equal(
        restorer(Seen(), tiling=options).restore(np.full((96, 500, 3), 200, np.uint8)),
        np.full((96, 500, 3), 100),
    )


def test_gray_stays_gray_and_one_channel_is_enough():
    gray = pixels_of(500, 700, 1)
    restored = restorer(Seen()).restore(np.repeat(gray, 3, axis=2))
    assert (restored == restored[..., :1]).all()
    assert np.array_equal(restored[..., :1], restorer(Seen()).restore(gray))


def test_the_number_type_is_settled_by_the_copy():
    network = Seen()
    made = restorer(network, dtype=torch.bfloat16, check_dtype=True)
    made.settle_dtype(pixels_of(800, 2000))
    assert network.sizes and max(max(size) for size in network.sizes) <= SIDE
    assert not made.dtype_is_open
