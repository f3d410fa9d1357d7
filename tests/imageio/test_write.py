import errno
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import cv2
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
    LA8,
    PALETTE_GIF,
    RGB8,
    RGB16,
    RGBA8,
    RGBA16,
    RGBF,
    U8,
    U16,
    again,
    read,
    whole,
    with_metadata,
    written,
)
from PIL import Image

from drcnet_cli.errors import ImageError, StorageError, UsageError
from drcnet_cli.imageio import (
    Metadata,
    Picture,
    format_for,
    format_suffix,
    is_image_name,
    parse_format,
    read_picture,
    write_picture,
)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["png", "tiff", "ppm", "webp", "bmp", "tga", "jp2"]),
    st.sampled_from([U8, U16, F32]),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([1, 3]),
    st.booleans(),
    st.data(),
)
def test_lossless_formats_give_back_what_they_can_hold(
    format, dtype, height, width, channels, alpha, data
):
    dtype = {"tiff": dtype, "png": U16 if dtype == F32 else dtype}.get(
        format, U16 if format == "ppm" and dtype != U8 else U8
    )
    elements = st.floats(0, 1, width=32) if dtype == F32 else None
    pixels = data.draw(arrays(dtype, (height, width, channels), elements=elements))
    mask = data.draw(arrays(dtype, (height, width), elements=elements))
    has_alpha = alpha and format not in ("ppm", "bmp")
    picture = Picture(pixels, mask if has_alpha else None)
    result = again(picture, format)
    expected = np.repeat(pixels, 3, axis=2) if format == "webp" and channels == 1 else pixels
    np.testing.assert_array_equal(result.pixels, expected)
    if has_alpha and not (format == "webp" and result.alpha is None and mask.min() == 255):
        np.testing.assert_array_equal(result.alpha, mask)


@pytest.mark.parametrize("array", [GRAY8, LA8, RGB8, RGBA8, GRAY16, RGB16, RGBA16])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_other_programs_read_what_is_written(array, suffix):
    picture = read(make.png(array))
    picture.metadata = replace(picture.metadata, exif=make.exif(), icc=make.SRGB, xmp=make.XMP)
    data = written(picture, suffix)[0]
    if array.dtype == U8:
        image = Image.open(BytesIO(data))
        np.testing.assert_array_equal(np.asarray(image), array)
        assert image.info["icc_profile"] == make.SRGB
        assert image.getexif()[271] == "Maker"
    else:
        decoded = cv2.imdecode(np.frombuffer(data, U8), cv2.IMREAD_UNCHANGED)
        expected = array if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]
        np.testing.assert_array_equal(decoded, expected)


def test_bands_and_strips_join_without_a_seam():
    wide = make.random_array(3, U16, size=(3000, 200))
    for format in ("png", "tiff"):
        np.testing.assert_array_equal(again(Picture(wide), format).pixels, wide)


@pytest.mark.parametrize("format", ["jpg", "bmp", "ppm"])
def test_alpha_is_never_dropped(format, tmp_path):
    path = tmp_path / f"a.{format}"
    with pytest.raises(ImageError, match="transparency") as caught:
        write_picture(read(make.png(RGBA8)), path)
    assert str(path) in caught.value.message
    assert "--format png" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("array", "format", "expected"),
    [
        (RGB16, "bmp", np.rint(RGB16 / 257)),
        (GRAY16, "tga", np.rint(GRAY16 / 257)),
        (RGBF, "png", np.rint(RGBF * F32(65535))),
        (RGBF, "bmp", np.rint(RGBF * F32(255))),
    ],
)
def test_lost_depth_is_rounded_and_said(array, format, expected):
    picture = read(make.tiff(array))
    data, notes = written(picture, format)
    np.testing.assert_array_equal(whole(read(data)), expected)
    assert len(notes) == 1
    assert "reduced" in notes[0]


def test_lost_metadata_is_said():
    picture = read(with_metadata("png", make.exif()))
    (note,) = written(picture, "bmp")[1]
    assert all(word in note for word in ("EXIF", "XMP", "ICC"))
    assert "resolution" not in note


def test_what_a_jpeg_segment_cannot_hold_is_said():
    picture = Picture(RGB8, metadata=Metadata(xmp=b"<x/>" * 20_000))
    data, notes = written(picture, "jpg")
    assert "64 kB" in notes[0]
    assert read(data).metadata.xmp is None


def test_gray_stays_gray_and_its_profile_leaves_where_it_would_lie():
    gray = make.SRGB[:16] + b"GRAY" + make.SRGB[20:]
    picture = Picture(GRAY8[..., None], metadata=Metadata(icc=gray))
    for format in ("png", "jpg", "tiff"):
        result = again(picture, format)
        assert result.pixels.shape[2] == 1
        assert result.metadata.icc == gray
    data, (note,) = written(picture, "webp")
    assert "ICC" in note
    assert read(data).metadata.icc is None


def test_quality():
    picture = Picture(make.random_array(3, size=(64, 64)))
    for format in ("jpg", "webp"):
        small, large = (len(written(picture, format, quality=q)[0]) for q in (20, 90))
        assert small < large
    np.testing.assert_array_equal(again(picture, "webp").pixels, picture.pixels)
    assert written(picture, "png", quality=50)[0] == written(picture, "png")[0]
    for wrong in (0, 101, -5):
        with pytest.raises(UsageError, match="quality"):
            written(picture, "jpg", quality=wrong)


def test_jpeg_keeps_every_pixels_colour():
    image = Image.open(BytesIO(written(Picture(make.smooth()), "jpg")[0]))
    assert image.layer[0][1:3] == image.layer[1][1:3]  # sampling factors: 4:4:4


def test_sides_beyond_a_formats_limit_are_refused():
    picture = Picture(np.zeros((1, 16384, 3), U8))
    with pytest.raises(ImageError, match="16383"):
        written(picture, "webp")


def test_format_follows_name_then_input(tmp_path):
    picture = read(make.save(make.smooth(), "JPEG"))
    assert read(written(picture)[0]).metadata.format == "JPEG"
    assert read(written(read(PALETTE_GIF))[0]).metadata.format == "PNG"
    write_picture(picture, tmp_path / "A.TIF")
    assert read_picture(tmp_path / "A.TIF").metadata.format == "TIFF"
    for name in ("scan", "scan.0001", "a.PNG"):
        write_picture(picture, tmp_path / name, format="png")
        assert read_picture(tmp_path / name).metadata.format == "PNG"
    write_picture(picture, tmp_path / "a.jpeg", format="jpg")


@pytest.mark.parametrize("name", ["a.jpg", "a.gif"])
def test_a_name_that_would_lie_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match=r"a\.png"):
        write_picture(Picture(RGB8), tmp_path / name, format="png")
    assert not list(tmp_path.iterdir())


def test_names_of_formats():
    assert format_for(Path("x/a.JPeG")) == "JPEG"
    assert parse_format("jpg") == parse_format("JPEG") == "JPEG"
    assert format_suffix("tiff") == ".tiff"
    assert format_suffix("jpeg") == ".jpg"
    for bad in ("a.pbm", "a.psd", "a"):
        with pytest.raises(UsageError) as caught:
            format_for(Path(bad))
        assert "png, jpg, webp, tiff, bmp" in caught.value.hint
    with pytest.raises(UsageError, match="'eps'"):
        parse_format("eps")
    assert all(is_image_name(Path(f"a{s}")) for s in (".JPG", ".tif", ".gif", ".webp"))
    assert not any(is_image_name(Path(name)) for name in ("a.txt", "jpg", ".png", "a.eps"))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failing_encoder_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    def fail(_picture, file, *_):
        file.write(b"half a picture")
        raise error

    path = tmp_path / "a.png"
    write_picture(Picture(RGB8), path)
    before = path.read_bytes()
    monkeypatch.setattr("drcnet_cli.imageio.write.encode", fail)
    with pytest.raises(ImageError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        write_picture(Picture(RGB8), path)
    if isinstance(error, OSError):
        assert f"{path} cannot be written: No space left." == caught.value.message
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ImageError, match="cannot be written"):
        write_picture(Picture(RGB8), tmp_path / "file" / "a.png")


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of a file's size there")
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "ppm", "tga", "jp2"])
@pytest.mark.parametrize("missing", [1, 1000, 20_000])
def test_a_write_that_is_cut_short_is_no_success(tmp_path, suffix, missing):
    import resource

    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    picture = Picture(noise, None, Metadata())
    write_picture(picture, tmp_path / f"whole.{suffix}")
    size = (tmp_path / f"whole.{suffix}").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # Like a disk with almost enough room: the last write takes less than it is given.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, before[1]))
        with pytest.raises(ImageError, match="cannot be written"):
            write_picture(picture, tmp_path / f"cut.{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == [f"whole.{suffix}"]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageError),
        (errno.EROFS, StorageError),
        (errno.EACCES, ImageError),
        (None, ImageError),
    ],
)
def test_a_full_disk_is_told_from_a_bad_file(tmp_path, monkeypatch, number, kind):
    def refuse(*_arguments):
        raise OSError(number, "not now") if number else OSError("not now")

    monkeypatch.setattr("drcnet_cli.imageio.write.encode", refuse)
    picture = Picture(np.zeros((8, 8, 3), np.uint8), None, Metadata())
    with pytest.raises(ImageError, match="a.png cannot be written: not now") as error:
        write_picture(picture, tmp_path / "a.png")
    assert type(error.value) is kind
    assert bool(error.value.hint) == (kind is StorageError)
