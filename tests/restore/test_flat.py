"""Surfaces of one exact value stay, and nothing else is touched."""

import numpy as np
import pytest
from conftest import photograph

from drcnet_cli.restore import flat
from drcnet_cli.restore.flat import REACH, flatness, keep_flat
from drcnet_cli.tasks import TASKS

TYPES = [np.uint8, np.uint16, np.float32]


def plain_flatness(pixels):
    """Tell of each pixel, slowly, how large a part of its window lies within flat surfaces."""

    def windows(values):
        padded = np.pad(values, [(REACH, REACH)] * 2 + [(0, 0)] * (values.ndim - 2), "edge")
        height, width = values.shape[:2]
        side = 2 * REACH + 1
        return [[padded[y : y + side, x : x + side] for x in range(width)] for y in range(height)]

    even = np.array([[(w == w[:1, :1]).all() for w in row] for row in windows(pixels)])
    inner = np.array([[w.all() for w in row] for row in windows(even)])
    return np.array([[w.mean() for w in row] for row in windows(inner.astype(float))])


def test_it_is_the_plain_definition():
    pixels = photograph(70, 90)
    pixels[5:65, 20:85] = (0, 255, 0)
    assert flatness(pixels) == pytest.approx(plain_flatness(pixels), abs=1e-5)
    assert flatness(pixels).max() == 1


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (40, 60, 3), (3, 200, 1)])
def test_a_flat_picture_comes_back_exactly(dtype, shape):
    value = np.array([3, 250, 77])[: shape[2]]
    pixels = np.broadcast_to(value, shape).astype(dtype) / (255 if dtype == np.float32 else 1)
    pixels = np.ascontiguousarray(pixels, dtype)
    restored = np.zeros_like(pixels)
    keep_flat(restored, pixels)
    assert (restored == pixels).all()


def test_photographs_are_not_touched():
    pixels, restored = photograph(100, 120), photograph(100, 120, seed=1)
    before = restored.copy()
    keep_flat(restored, pixels)
    assert (restored == before).all()


def test_bands_of_rows_make_no_difference(monkeypatch):
    pixels = photograph(230, 80)
    pixels[30:200] = 255
    whole, banded = np.zeros_like(pixels), np.zeros_like(pixels)
    keep_flat(whole, pixels)
    monkeypatch.setattr(flat, "_ROWS", 37)
    keep_flat(banded, pixels)
    assert (whole == banded).all()
    assert whole[115, 40].tolist() == [255] * 3
    assert (whole[:30] == 0).all()


def test_its_edge_is_soft():
    pixels = photograph(90, 90)
    pixels[:, 20:] = 200
    restored = np.full_like(pixels, 100)
    keep_flat(restored, pixels)
    row = restored[45, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert np.diff(row).max() <= 100 / (2 * REACH + 1) + 1


def test_haze_is_flat_and_goes_all_the_same():
    assert not TASKS["dehaze"].keeps_flat
    assert all(TASKS[name].keeps_flat for name in ("derain", "denoise", "deblur"))
