"""Deformable sampling: both forms give the numbers of a loop over pixels, and its gradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.networks.airnet import deformable
from drcnet_cli.networks.airnet.deformable import (
    deformable_conv,
    sample_by_grid,
    sample_by_table,
)

FORMS = [sample_by_grid, sample_by_table]


def arguments(batch, channels, out, height, width, *, reach=2.0, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    x = normal(batch, channels, height, width)
    offsets = reach * normal(batch, 18, height, width)
    mask = torch.sigmoid(normal(batch, 9, height, width))
    return x, offsets, mask, normal(out, channels, 3, 3)


def by_loops(x, offsets, mask, weight):
    """Convolve pixel by pixel and tap by tap in float64, as equation 5 is written."""
    x, offsets, mask, weight = (values.double().numpy() for values in (x, offsets, mask, weight))
    batch, _, height, width = x.shape

    def pixel(item, row, column):
        inside = 0 <= row < height and 0 <= column < width
        return x[item, :, row, column] if inside else np.zeros(x.shape[1])

    result = np.zeros((batch, weight.shape[0], height, width))
    for item, row, column, tap in np.ndindex(batch, height, width, 9):
        down = row + tap // 3 - 1 + offsets[item, 2 * tap, row, column]
        right = column + tap % 3 - 1 + offsets[item, 2 * tap + 1, row, column]
        top, left = int(np.floor(down)), int(np.floor(right))
        value = sum(
            (1 - abs(down - y)) * (1 - abs(right - z)) * pixel(item, y, z)
            for y in (top, top + 1)
            for z in (left, left + 1)
        )
        kernel = weight[:, :, tap // 3, tap % 3]
        result[item, :, row, column] += mask[item, tap, row, column] * (kernel @ value)
    return result


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=25)
@given(
    batch=st.integers(1, 2),
    channels=st.integers(1, 4),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    reach=st.sampled_from([0.0, 0.3, 2.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_equals_a_loop_over_pixels(form, batch, channels, height, width, reach, seed):
    given_ = arguments(batch, channels, 3, height, width, reach=reach, seed=seed)
    np.testing.assert_allclose(form(*given_).numpy(), by_loops(*given_), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_no_shift_and_full_mask_is_a_plain_convolution(form):
    x, offsets, mask, weight = arguments(2, 5, 7, 20, 33)
    found = form(x, 0 * offsets, torch.ones_like(mask), weight)
    torch.testing.assert_close(found, F.conv2d(x, weight, padding=1), atol=4e-5, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_gradients(form):
    given_ = [
        value.requires_grad_() for value in arguments(2, 2, 2, 4, 5, dtype=torch.float64, reach=1.3)
    ]
    assert torch.autograd.gradcheck(form, given_)


def test_strips_and_layouts_do_not_show(monkeypatch):
    x, offsets, mask, weight = arguments(2, 3, 4, 31, 17)
    expected = sample_by_table(x, offsets, mask, weight)
    monkeypatch.setattr(deformable, "_STRIP", 40)
    last = [value.contiguous(memory_format=torch.channels_last) for value in (x, offsets, mask)]
    torch.testing.assert_close(sample_by_table(*last, weight), expected, atol=1e-6, rtol=1e-5)


def test_bfloat16_is_as_near_as_its_digits_allow():
    x, offsets, mask, weight = arguments(1, 16, 16, 24, 24)
    exact = sample_by_table(x, offsets, mask, weight)
    for form in FORMS:
        half = [value.bfloat16() for value in (x, offsets, mask, weight)]
        # The same places: rounding them would move the samples.
        found = form(half[0], offsets, half[2], half[3]).float()
        assert (found - exact).square().mean().sqrt() < 0.01 * exact.square().mean().sqrt()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_places_that_are_no_numbers_or_far_away_do_not_stop_a_run(value):
    x, offsets, mask, weight = arguments(1, 2, 2, 6, 6)
    offsets[0, 8, 3, 3] = value
    found = deformable_conv(x, offsets, mask, weight)
    good = torch.ones(6, 6, dtype=torch.bool)
    good[3, 3] = False
    assert torch.isfinite(found[..., good]).all()


def test_torchvision_gives_the_same():
    if not deformable._torchvision_has_it():
        pytest.skip("torchvision is not installed")
    from torchvision.ops import deform_conv2d

    x, offsets, mask, weight = arguments(2, 5, 7, 20, 33)
    theirs = deform_conv2d(x, offsets, weight, padding=1, mask=mask)
    for form in FORMS:
        torch.testing.assert_close(form(x, offsets, mask, weight), theirs, atol=2e-5, rtol=1e-5)
