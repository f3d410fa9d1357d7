from io import BytesIO

import image_fixtures as make
import numpy as np
import pytest
from image_cases import GRAYF, RGBAF, RGBF, U8, again, read, whole
from PIL import Image

from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.imageio import picture_from_image, picture_to_image, read_picture
from drcnet_cli.imageio.folder import read_rgb8


@pytest.mark.parametrize(
    ("white", "suggested"),
    [(200, "255"), (4000, "4095"), (60_000, "65535"), (900_000, "--float-range 8")],
)
def test_values_beyond_white_are_refused_with_their_range_and_the_option(white, suggested):
    values = RGBF * np.float32(white)
    with pytest.raises(ImageError) as caught:
        read(make.tiff(values))
    assert f"{values.max():.4g}" in caught.value.message
    assert caught.value.hint.count("--float-range") == 1
    assert suggested in caught.value.hint


@pytest.mark.parametrize("array", [GRAYF, RGBF, RGBAF])
def test_a_named_white_scales_and_the_output_is_scaled_back(array):
    extra = 2 if array.ndim == 3 and array.shape[2] == 4 else None
    data = make.tiff(array * np.float32(255), extra=extra)
    picture = read_picture(BytesIO(data), float_range=255)
    np.testing.assert_allclose(whole(picture), array, atol=1e-6)
    assert not picture.metadata.notes
    written = read_picture(BytesIO(again_bytes(picture)), float_range=255)
    np.testing.assert_allclose(whole(written), array, atol=1e-6)
    # A format of integers knows its white by itself.
    integers = whole(again(picture, "png"))
    np.testing.assert_allclose(integers / 65535, array, atol=1e-5)


def again_bytes(picture) -> bytes:
    from image_cases import written

    return written(picture, "tiff")[0]


def test_rounding_errors_beyond_the_range_are_no_reason_to_refuse():
    picture = read(make.tiff(GRAYF * np.float32(1.002) - np.float32(0.001)))
    assert picture.pixels.min() >= 0
    assert picture.pixels.max() <= 1


def test_pillows_floating_point_follows_the_same_rule():
    image = Image.fromarray(GRAYF * np.float32(255))
    with pytest.raises(ImageError, match=r"outside 0\.\.1"):
        picture_from_image(image)
    picture = picture_from_image(image, float_range=255)
    np.testing.assert_allclose(picture.pixels[..., 0], GRAYF, atol=1e-6)
    back = picture_to_image(picture)
    np.testing.assert_allclose(np.asarray(back), np.asarray(image), atol=1e-3)
    image.putpixel((0, 0), float("nan"))
    with pytest.raises(ImageError, match="NaN"):
        picture_from_image(image)


def test_training_reads_by_the_same_rule(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(make.tiff(GRAYF * np.float32(255)))
    with pytest.raises(ImageError, match=r"a\.tif holds values from"):
        read_rgb8(path)
    path.write_bytes(make.tiff(GRAYF))
    np.testing.assert_array_equal(read_rgb8(path)[..., 0], np.rint(GRAYF * 255).astype(U8))


@pytest.mark.parametrize("white", [0, -1, float("nan"), float("inf")])
def test_an_impossible_white_is_a_usage_error(white):
    with pytest.raises(UsageError, match="--float-range"):
        read_picture(BytesIO(make.tiff(GRAYF)), float_range=white)
