"""Pictures for a page: exact where they can be, mapped as they should be."""

import base64
import io

import numpy as np
import pytest
from conftest import photograph
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, features

from drcnet_cli.report.slider import (
    ErrorMap,
    data_uri,
    error_colours,
    error_uri,
    fit,
    map_errors,
    most_different,
)


def decoded(address: str) -> Image.Image:
    kind, encoded = address.split(",", 1)
    assert kind.startswith("data:image/") and kind.endswith(";base64")
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert image.format.lower() in kind
    return image


@settings(deadline=None, max_examples=40)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))))
def test_what_is_shown_exactly_comes_back_exactly(pixels):
    assert np.array_equal(np.asarray(decoded(data_uri(pixels)).convert("RGB")), pixels)


def test_formats_without_webp(monkeypatch):
    monkeypatch.setattr(features, "check", lambda _: False)
    pixels = photograph(20, 30)
    exact, scaled = decoded(data_uri(pixels)), decoded(data_uri(pixels, exact=False))
    assert (exact.format, scaled.format) == ("PNG", "JPEG")
    assert np.array_equal(np.asarray(exact), pixels)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60))
def test_no_side_is_longer_than_allowed_and_the_shape_is_kept(height, width, side):
    pixels = np.full((height, width, 3), 77, np.uint8)
    shown = fit(pixels, side)
    assert (shown == 77).all()
    assert max(shown.shape[:2]) == min(side, max(height, width))
    if max(height, width) <= side:
        assert shown is pixels
    else:
        scale = side / max(height, width)
        assert abs(shown.shape[0] - height * scale) < 1 and abs(shown.shape[1] - width * scale) < 1


def test_a_map_holds_the_largest_difference_of_the_channels_either_way():
    first, second = np.zeros((1, 3, 3), np.uint8), np.zeros((1, 3, 3), np.uint8)
    first[0, 0] = 5, 0, 9
    second[0, 1] = 0, 200, 7
    assert map_errors(first, second).differences.tolist() == [[9, 200, 0]]


@pytest.mark.parametrize(("level", "gain"), [(0, 1), (3, 16), (16, 8), (60, 4), (127, 2), (200, 1)])
def test_the_gain_makes_differences_visible_and_is_stated(level, gain):
    grey = np.zeros((10, 10, 3), np.uint8)
    errors = map_errors(grey, grey + np.uint8(level))
    assert errors.gain == gain
    assert (errors.brightest - 1) * gain < 255 <= errors.brightest * gain


def test_an_error_map_is_drawn_in_the_colours_of_its_legend():
    differences = np.array([[0, 10, 64, 255]], np.uint8)
    address, size = error_uri(ErrorMap(differences, 4), 99)
    assert size == (1, 4)
    shown = np.asarray(decoded(address).convert("RGB"))[0]
    assert np.array_equal(shown, error_colours()[[0, 40, 255, 255]])
    luma = error_colours() @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(luma) > -1).all() and luma[0] < 2 and luma[-1] > 230


@settings(deadline=None, max_examples=40)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))),
    st.integers(1, 14),
    st.integers(1, 14),
)
def test_the_window_found_is_the_one_with_the_largest_sum(pixels, height, width):
    black = np.zeros_like(pixels)
    rows, columns = most_different(pixels, black, height, width)
    height, width = min(height, pixels.shape[0]), min(width, pixels.shape[1])
    assert (rows.stop - rows.start, columns.stop - columns.start) == (height, width)
    errors = pixels.max(axis=2).astype(int)
    best = max(
        errors[y : y + height, x : x + width].sum()
        for y in range(errors.shape[0] - height + 1)
        for x in range(errors.shape[1] - width + 1)
    )
    assert errors[rows, columns].sum() == best


def test_the_window_is_found_in_large_pictures_too():
    black = np.zeros((1000, 6001, 3), np.uint8)
    picture = black.copy()
    picture[600:650, 5900:5960] = 90
    rows, columns = most_different(picture, black, 200, 300)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (200, 300)
    assert rows.start <= 600 and rows.stop >= 650 and rows.stop <= 1000
    assert columns.start <= 5900 and columns.stop >= 5960 and columns.stop <= 6001
