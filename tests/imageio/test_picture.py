from io import BytesIO

import image_fixtures as make
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from image_cases import (
    F32,
    GRAY8,
    GRAY16,
    GRAYF,
    RGB8,
    RGB16,
    RGBA8,
    RGBA16,
    U8,
    U16,
    read,
)
from PIL import Image, ImageOps

from drcnet_cli.imageio import (
    Picture,
    from_unit,
    picture_from_image,
    picture_to_image,
    to_planes,
)

# Units


@given(st.sampled_from([U8, U16]), st.sampled_from([1, 3]), st.data())
@settings(deadline=None, max_examples=40)
def test_integers_come_back_exactly(dtype, channels, data):
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(channels)))
    pixels = data.draw(arrays(dtype, shape))
    np.testing.assert_array_equal(from_unit(to_planes(pixels), like=pixels), pixels)


@pytest.mark.parametrize("dtype", [U8, U16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_value_comes_back_exactly(dtype, channels):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(1, -1, 1)
    pixels = np.repeat(values, channels, axis=2)
    unit = to_planes(pixels)
    assert unit.dtype == F32
    assert unit.shape == (3, 1, values.size)
    assert (unit.min(), unit.max()) == (0, 1)
    result = from_unit(unit, like=pixels)
    assert result.dtype == dtype
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, pixels)


@given(arrays(F32, (3, 4, 1), elements=st.floats(0, 1, width=32)))
@settings(deadline=None, max_examples=40)
def test_floats_come_back_exactly(pixels):
    np.testing.assert_array_equal(from_unit(to_planes(pixels), like=pixels), pixels)


def test_results_are_clipped_and_rounded_to_the_nearest():
    image = np.array([-0.2, 0.2 / 255, 0.6 / 255, 0.5, 1.7], F32)
    image = np.broadcast_to(image[None, None], (3, 1, 5))
    result = from_unit(image, like=np.empty((1, 1, 3), U8))
    assert result[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_gray_is_the_mean_of_the_channels():
    image = np.array([0.3, 0.6, 0.9], F32).reshape(3, 1, 1)
    np.testing.assert_allclose(from_unit(image, like=np.empty((1, 1, 1), F32)), 0.6, atol=1e-7)


def test_a_picture_of_another_kind_cannot_be_made():
    for pixels in (RGB8[..., :2], GRAY8, RGB8.astype(np.int32), RGB8[:0]):
        with pytest.raises(ValueError, match="picture"):
            Picture(pixels)
    with pytest.raises(ValueError, match="Alpha"):
        Picture(RGB8, RGBA16[..., 3])


# Pillow images


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_pillow_images_are_taken_and_given(mode):
    source = Image.fromarray(GRAY16 if mode == "I;16" else GRAYF if mode == "F" else RGBA8)
    image = source if source.mode == mode else source.convert(mode)
    picture = picture_from_image(image)
    result = picture_to_image(picture)
    expected = {"1": "L", "P": "RGB", "CMYK": "RGB"}.get(mode, mode)
    assert result.mode == expected
    np.testing.assert_array_equal(np.asarray(result), np.asarray(image.convert(expected)))


def test_pillow_image_is_turned_and_keeps_its_metadata():
    data = make.save(make.smooth(), "JPEG", exif=b"Exif\0\0" + make.exif(6), dpi=(300, 300))
    source = Image.open(BytesIO(data))
    result = picture_to_image(picture_from_image(source))
    np.testing.assert_array_equal(
        np.asarray(result), np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))))
    )
    assert result.getexif()[271] == "Maker"
    assert result.getexif()[274] == 1
    assert result.info["dpi"] == (300, 300)
    assert source.size == make.SIZE


def test_pillow_cannot_hold_deep_colour():
    image = picture_to_image(read(make.png(RGB16)))
    np.testing.assert_array_equal(np.asarray(image), np.rint(RGB16 / 257))
