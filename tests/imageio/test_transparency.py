import image_fixtures as make
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_cases import GRAY8, RGB8, RGB16, RGBA8, RGBAF, U8, U16, again, read, whole, written

from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.imageio import (
    Picture,
    is_gray,
    keep_hidden,
    parse_colour,
    visible_pixels,
    write_picture,
)


def with_alpha(pixels: np.ndarray, alpha) -> Picture:
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    return Picture(pixels, np.full(pixels.shape[:2], alpha, pixels.dtype))


# Colours under full transparency


def test_hidden_colours_give_way_to_the_nearest_visible_one_and_come_back():
    picture = with_alpha(RGB8.copy(), 255)
    assert picture.alpha is not None
    picture.alpha[:, 10:] = 0
    shown = visible_pixels(picture)
    np.testing.assert_array_equal(shown[:, :10], RGB8[:, :10])
    np.testing.assert_array_equal(shown[:, 10], RGB8[:, 9])
    assert shown is not picture.pixels
    restored = keep_hidden(np.zeros_like(RGB8), picture)
    np.testing.assert_array_equal(restored[:, 10:], RGB8[:, 10:])
    assert not restored[:, :10].any()


@given(st.integers(0, 2**32 - 1), st.sampled_from([U8, U16]))
def test_filled_colours_are_those_of_visible_pixels_alone(seed, dtype):
    rng = np.random.default_rng(seed)
    visible = rng.random((9, 11)) < 0.2
    pixels = np.where(visible[..., None], 200, 7).astype(dtype).repeat(3, axis=2)
    picture = Picture(pixels, (visible * np.iinfo(dtype).max).astype(dtype))
    shown = visible_pixels(picture)
    assert (shown == (200 if visible.any() else 7)).all()


@pytest.mark.parametrize("alpha", [0, 1, 255])
def test_nothing_is_filled_where_all_or_nothing_is_hidden(alpha):
    picture = with_alpha(RGB8, alpha)
    assert visible_pixels(picture) is picture.pixels
    assert visible_pixels(Picture(RGB8)) is not None


# Formats without alpha


@pytest.mark.parametrize("array", [RGB8, GRAY8, RGB16])
@pytest.mark.parametrize("format", ["jpg", "bmp", "ppm"])
def test_opaque_alpha_is_no_transparency(array, format):
    picture = with_alpha(array, np.iinfo(array.dtype).max)
    data, notes = written(picture, format)
    assert data == written(Picture(picture.pixels), format)[0]
    assert not any("transparency" in note for note in notes)
    assert whole(again(picture, "png")).shape[2] in (2, 4)


def test_a_background_shows_through(tmp_path):
    pixels = np.full((4, 6, 3), 200, U8)
    picture = Picture(pixels, np.zeros((4, 6), U8))
    assert picture.alpha is not None
    picture.alpha[:, 2:4], picture.alpha[:, 4:] = 51, 255
    data, notes = written(picture, "bmp", background="#0000ff")
    expected = [(0, 0, 255), (40, 40, 244), (200, 200, 200)]
    np.testing.assert_array_equal(read(data).pixels[0, ::2], expected)
    assert notes == ["transparency laid on #0000ff, since BMP holds none"]
    # Where the format holds alpha, it stays.
    np.testing.assert_array_equal(
        read(written(picture, "png", background="white")[0]).alpha, picture.alpha
    )


def test_gray_on_a_gray_background_stays_gray_and_on_colour_does_not():
    picture = with_alpha(GRAY8, 100)
    assert read(written(picture, "jpg", background="white")[0]).pixels.shape[2] == 1
    assert read(written(picture, "jpg", background="red")[0]).pixels.shape[2] == 3


def test_a_background_serves_16_bits_and_floats():
    deep = with_alpha(RGB16, 0)
    assert (read(written(deep, "ppm", background="white")[0]).pixels == 65535).all()
    floating = Picture(RGBAF[..., :3].copy(), np.zeros(RGBAF.shape[:2], np.float32))
    assert (read(written(floating, "bmp", background="white")[0]).pixels == 255).all()


def test_the_hint_names_the_option_and_a_wrong_colour_is_refused(tmp_path):
    with pytest.raises(ImageError) as caught:
        write_picture(read(make.png(RGBA8)), tmp_path / "a.jpg")
    assert "--background" in caught.value.hint
    with pytest.raises(UsageError, match="--background cannot be 'noir'"):
        write_picture(Picture(RGB8), tmp_path / "a.jpg", background="noir")
    assert parse_colour("white") == (255, 255, 255)
    assert parse_colour("#10203040") == (16, 32, 48)


# Gray in three channels


@pytest.mark.parametrize("dtype", [U8, U16, np.float32])
def test_gray_in_three_channels_is_told(dtype):
    gray = make.random_array(1, dtype)[..., None].repeat(3, axis=2)
    assert is_gray(gray)
    assert is_gray(gray[..., :1])
    gray[-1, -1, 2] += 1
    assert not is_gray(gray)
