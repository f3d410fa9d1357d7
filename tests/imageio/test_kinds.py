import json
from functools import partial
from io import BytesIO
from pathlib import Path

import image_fixtures as make
import image_plugins as plugins
import numpy as np
import pytest
import typer
from image_cases import RGB8, RGB16, RGBA8, U16, read, whole
from PIL import Image

from drcnet_cli.cli._restore_report import summarise
from drcnet_cli.errors import ImageError
from drcnet_cli.files.plan import plan_files
from drcnet_cli.imageio import is_image_name, is_unread_name, kinds, read_picture

HEIC_START = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
STARTS = {
    "HEIC": HEIC_START,
    "JPEG XL": b"\xff\x0a",
    "RAW": b"II*\0\x10\0\0\0CR\2\0",
    "OpenEXR": b"v/1\x01",
    "Photoshop": b"8BPS\0\1",
    "Radiance": b"#?RADIANCE\n",
}

plan_pictures = partial(plan_files, is_image=is_image_name, is_unread=is_unread_name)


@pytest.fixture
def no_extras(monkeypatch):
    monkeypatch.setattr(kinds, "_is_installed", lambda _: False)


# Named, with what helps


@pytest.mark.parametrize(("name", "extra"), [("HEIC", "heic"), ("JPEG XL", "jxl"), ("RAW", "raw")])
def test_what_takes_a_package_is_named_with_the_command(no_extras, name, extra):
    with pytest.raises(ImageError, match=f"is a (camera )?{name} picture") as caught:
        read(STARTS[name] + bytes(200))
    assert caught.value.hint == f"Type: pip install 'drcnet[{extra}]'"


@pytest.mark.parametrize("name", ["OpenEXR", "Photoshop", "Radiance"])
def test_what_is_never_read_is_named_too(name):
    with pytest.raises(ImageError, match=f"is a {name}.* picture, which is not read"):
        read(STARTS[name] + bytes(200))


def test_the_content_decides_whatever_the_name(no_extras, tmp_path):
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(make.save(RGB8, "JPEG"))
    assert read_picture(path).metadata.format == "JPEG"


def test_avif_is_no_heic():
    brands = b"\0\0\0\x1cftypavif\0\0\0\0mif1miafavif"
    assert kinds.kind_of_data(brands + bytes(50)) is None


def test_a_raw_tiff_is_known_by_its_sensor_or_version(no_extras):
    for data in (plugins.dng(), make.tiff(RGB16, photometric=34892)):
        with pytest.raises(ImageError, match="camera RAW"):
            read(data)


@pytest.mark.parametrize(
    ("content", "reason", "help"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS pointer", "lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>", "web page", "Download"),
        (b"<HTML lang=de>", "web page", "Download"),
        (b"%PDF-1.7\n", "PDF", "PNG"),
        (bytes(5000), "nothing but zeros", "again"),
    ],
)
def test_what_stands_in_place_of_a_picture_is_said(content, reason, help):
    with pytest.raises(ImageError, match=reason) as caught:
        read(content)
    assert help in caught.value.hint


# In folders


@pytest.fixture
def folder(tmp_path):
    for name in ("IMG_1.HEIC", "IMG_2.cr2", "IMG_3.exr", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_pictures_that_are_not_read_are_listed_and_no_strangers(no_extras, folder):
    (folder / "IMG_4.jpg").write_bytes(b"x")
    plan = plan_pictures([folder], folder / "out")
    assert [job.source.name for job in plan.jobs] == ["IMG_4.jpg"]
    assert [path.name for path in plan.unread] == ["IMG_1.HEIC", "IMG_2.cr2", "IMG_3.exr"]
    assert plan.passed_over.not_images == 1


def test_with_their_packages_they_are_pictures_like_others(monkeypatch, folder):
    monkeypatch.setattr(kinds, "_is_installed", lambda _: True)
    plan = plan_pictures([folder], folder / "out", suffix="png")
    assert [job.destination.name for job in plan.jobs] == ["IMG_1.png", "IMG_2.png"]
    assert [path.name for path in plan.unread] == ["IMG_3.exr"]
    assert is_image_name(Path("a.HEIF"))
    assert not is_unread_name(Path("a.HEIF"))


def test_they_are_counted_listed_and_no_success_alone(no_extras, folder, capsys):
    with pytest.raises(typer.Exit) as caught:
        summarise(plan_pictures([folder], folder / "out"), [], quiet=True, as_json=True)
    assert caught.value.exit_code == 1
    shown = capsys.readouterr()
    assert "3 pictures" in shown.err
    assert "1 .cr2, 1 .exr, 1 .heic" in shown.err
    assert "pip install 'drcnet[heic,raw]'" in shown.err
    records = [json.loads(line) for line in shown.out.splitlines()]
    assert [record["status"] for record in records] == ["unread"] * 3
    assert all(record["output"] is None and record["error"] for record in records)


# Read, where the packages are there


def test_heic_is_read_with_all_that_it_carries():
    pytest.importorskip("pillow_heif")
    data = plugins.heic(make.smooth(), exif=make.exif(6), xmp=make.XMP)
    picture = read(data)
    np.testing.assert_allclose(picture.pixels, _turned(make.smooth()), atol=3)
    assert picture.metadata.format == "HEIF"
    assert picture.metadata.xmp is not None
    assert b'Orientation="1"' in picture.metadata.xmp
    exif = Image.Exif()
    exif.load(picture.metadata.exif)
    assert (exif[271], exif[274]) == ("Maker", 1)


def _turned(array: np.ndarray) -> np.ndarray:
    """As pillow-heif stores a picture with orientation 6: turned by the container."""
    return np.rot90(array, -1)


def test_heic_keeps_alpha_and_more_than_8_bits():
    pytest.importorskip("pillow_heif")
    picture = read(plugins.heic(RGBA8))
    np.testing.assert_array_equal(picture.alpha, RGBA8[..., 3])
    deep = (make.smooth().astype(U16) << 8) | 0x40
    deep[0, 0] = 65535
    picture = read(plugins.heic(deep))
    assert picture.pixels.dtype == U16
    np.testing.assert_allclose(picture.pixels.astype(int), deep, atol=64)  # 10 bits
    assert (picture.pixels[0, 0] == 65535).all()


def test_further_pictures_of_a_heic_are_said():
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(Image.fromarray(RGB8))
    file.add_from_pillow(Image.fromarray(make.smooth()))
    buffer = BytesIO()
    file.save(buffer)
    assert "1 further picture" in read(buffer.getvalue()).metadata.notes[0]


@pytest.mark.parametrize("array", [RGB8, RGBA8, make.random_array(1), make.random_array(1, U16)])
def test_jpeg_xl_is_read_exactly(array):
    pytest.importorskip("pillow_jxl")
    picture = read(plugins.jxl(array))
    np.testing.assert_array_equal(whole(picture), array)
    boxed = read(plugins.jxl(array, exif=make.exif(thumbnail=False), xmp=make.XMP))
    assert boxed.metadata.exif
    assert boxed.metadata.xmp


def test_a_jpeg_inside_jpeg_xl_is_that_jpeg():
    pillow_jxl = pytest.importorskip("pillow_jxl")
    jpeg = make.save(make.smooth(), "JPEG", exif=b"Exif\0\0" + make.exif(6), quality=95)
    encoder = pillow_jxl.Encoder(mode="RGB", lossless=True, quality=100, use_container=True)
    picture = read(encoder(jpeg, *make.SIZE, jpeg_encode=True))
    np.testing.assert_array_equal(picture.pixels, read(jpeg).pixels)
    assert picture.metadata.exif == read(jpeg).metadata.exif


def test_a_jpeg_xls_size_is_known_before_it_is_decoded():
    pytest.importorskip("pillow_jxl")
    from drcnet_cli.imageio.jxl import _declared_size

    for size in ((8, 8), (23, 17), (64, 48), (300, 200), (16, 9), (2000, 3), (1, 700)):
        for boxes in ({}, {"xmp": make.XMP}):
            data = plugins.jxl(np.zeros((size[1], size[0]), np.uint8), **boxes)
            assert _declared_size(data) == size


@pytest.mark.parametrize("orientation", [1, 6])
def test_raw_is_developed_with_the_cameras_white_balance(orientation):
    pytest.importorskip("rawpy")
    picture = read(plugins.dng(orientation))
    assert picture.pixels.dtype == U16
    assert picture.pixels.shape[:2] == plugins.SENSOR[:: 1 if orientation == 1 else -1]
    # Gray under a coloured light is gray, and brighter to one side.
    inner = picture.pixels[8:-8, 8:-8].astype(int)
    assert (np.ptp(inner, axis=2) < 1500).all()
    assert np.ptp(inner.mean(axis=2)) > 20_000
    exif = Image.Exif()
    exif.load(picture.metadata.exif)
    assert (exif[271], exif[274]) == ("Acme", 1)
    details = exif.get_ifd(0x8769)
    assert details[33434] == 1 / 125
    assert 37500 not in details  # its offsets would be another file's


def test_a_raw_file_that_is_cut_or_damaged_is_an_error():
    pytest.importorskip("rawpy")
    data = bytearray(plugins.dng())
    for broken in (data[:20_000], data[:200], b"FUJIFILMCCD-RAW" + bytes(500)):
        with pytest.raises(ImageError):
            read(bytes(broken))
