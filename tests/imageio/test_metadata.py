import struct
from io import BytesIO

import image_fixtures as make
import numpy as np
import pytest
from image_cases import (
    GRAY16,
    LA16,
    RGB8,
    RGB16,
    RGBA8,
    RGBA16,
    again,
    needs_avif,
    read,
    upright,
    whole,
    with_metadata,
    written,
)
from PIL import Image, ImageOps

from drcnet_cli.imageio import (
    writable_formats,
)

# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["jpeg", "png", "png 16", "png la 16", "webp", "tiff", "tiff 16", "tiff planar", "avif"]
)
def test_orientation_is_applied_and_reset(kind, orientation):
    if kind == "avif" and "avif" not in writable_formats():
        pytest.skip("Pillow without AVIF")
    block = make.exif(orientation)
    chunk = make.png_chunk(b"eXIf", block)
    tag = [(274, 3, [orientation])]
    pillows = b"Exif\0\0" + block
    data, stored = {
        "jpeg": lambda: (make.save(make.smooth(), "JPEG", exif=pillows), None),
        "webp": lambda: (make.save(RGBA8, "WEBP", exif=pillows, lossless=True, exact=True), RGBA8),
        "avif": lambda: (make.save(make.smooth(), "AVIF", exif=pillows), None),
        "png": lambda: (make.png(RGBA8, chunk), RGBA8),
        "png 16": lambda: (make.png(RGBA16, chunk), RGBA16),
        "png la 16": lambda: (make.png(LA16, end=chunk), LA16),
        "tiff": lambda: (make.tiff(RGB8, tags=tag), RGB8),
        "tiff 16": lambda: (make.tiff(RGBA16, extra=2, tags=tag), RGBA16),
        "tiff planar": lambda: (make.tiff(RGB16, planar=True, tags=tag), RGB16),
    }[kind]()
    expected = (
        np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))))
        if stored is None
        else upright(stored, orientation)
    )
    picture = read(data)
    np.testing.assert_array_equal(whole(picture), expected)
    format = {"jpeg": "jpg", "avif": "png"}.get(kind, kind.split()[0])
    image = Image.open(BytesIO(written(picture, format)[0]))
    assert image.getexif().get(274, 1) == 1
    # Another program that applies orientation must not turn it again.
    assert ImageOps.exif_transpose(image).size == (picture.width, picture.height)


def test_orientation_of_xmp_alone_is_applied_and_reset():
    xmp = make.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + make.XMP)
    picture = read(make.png(RGB8, xmp))
    np.testing.assert_array_equal(picture.pixels, upright(RGB8, 6))
    assert b'tiff:Orientation="1"' in (picture.metadata.xmp or b"")


@pytest.mark.parametrize("bad", [0, 9, 65535])
def test_impossible_orientation_changes_nothing(bad):
    picture = read(make.png(RGB8, make.png_chunk(b"eXIf", make.exif(bad))))
    np.testing.assert_array_equal(picture.pixels, RGB8)


# Metadata

METADATA_FORMATS = [
    "jpg",
    "png",
    "webp",
    "tiff",
    pytest.param("avif", marks=needs_avif),
]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("target", METADATA_FORMATS)
@pytest.mark.parametrize("source", ["jpg", "png", "png 16", "tiff", "tiff 16", "webp"])
def test_metadata_survives_from_each_format_to_each(source, target, order):
    block = make.exif(6, order)
    picture = read(with_metadata(source, block))
    result = again(picture, target)
    assert result.metadata.icc == make.SRGB
    assert result.metadata.xmp == make.XMP.replace(b'Orientation="6"', b'Orientation="1"')
    if target not in ("webp", "avif"):
        np.testing.assert_allclose(result.metadata.dpi, (300, 300), atol=0.05)
    exif = Image.Exif()
    exif.load(result.metadata.exif)
    assert exif[271] == "Maker"
    assert exif.get(274, 1) == 1  # AVIF states it elsewhere
    details = exif.get_ifd(0x8769)
    assert details[37500] == make.MAKER_NOTE
    assert (details[40962], details[40963]) == (make.SIZE[1], make.SIZE[0])
    assert exif.get_ifd(0x8825)[1] == "N"
    assert (result.width, result.height) == (make.SIZE[1], make.SIZE[0])


def test_exif_stays_byte_for_byte_but_for_orientation_and_thumbnail():
    block = make.exif(3, thumbnail=False)
    picture = read(make.png(RGB8, make.png_chunk(b"eXIf", block)))
    kept = picture.metadata.exif
    assert kept is not None
    changed = [n for n, (a, b) in enumerate(zip(block, kept, strict=True)) if a != b]
    assert len(changed) == 1
    assert (block[changed[0]], kept[changed[0]]) == (3, 1)


def test_thumbnail_of_the_unrestored_picture_is_dropped():
    block = make.exif(1)
    kept = read(make.png(RGB8, make.png_chunk(b"eXIf", block))).metadata.exif
    assert kept is not None
    assert b"\xff\xd8\xff" in block
    assert b"\xff\xd8\xff" not in kept
    exif = Image.Exif()
    exif.load(kept)
    assert not exif.get_ifd(1)


def test_damaged_exif_is_left_out_and_said():
    picture = read(make.png(RGB8, make.png_chunk(b"eXIf", b"II*\0\xff\xff\xff\xff")))
    assert picture.metadata.exif is None
    assert "EXIF" in picture.metadata.notes[0]
    assert written(picture, "jpg")[1] == list(picture.metadata.notes)


def test_exif_as_hexadecimal_text_is_read_as_exif():
    block = make.exif(6, thumbnail=False)
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    picture = read(make.png(RGB8, make.png_chunk(b"tEXt", b"Raw profile type exif\0" + text)))
    np.testing.assert_array_equal(picture.pixels, upright(RGB8, 6))
    assert picture.metadata.exif
    assert not picture.metadata.png_chunks


@pytest.mark.parametrize("image", [RGB8, RGB16, GRAY16])
def test_text_and_colour_chunks_pass_from_png_to_png(image):
    chunks = (
        (b"gAMA", struct.pack(">I", 100000)),
        (b"tEXt", b"Author\0Anna"),
        (b"iTXt", b"Title\0\0\0de\0\0" + "Straße".encode()),
    )
    picture = read(make.png(image, *(make.png_chunk(*chunk) for chunk in chunks)))
    data, notes = written(picture)
    assert not notes
    assert read(data).metadata.png_chunks == chunks
    assert Image.open(BytesIO(data)).info["Author"] == "Anna"
    (note,) = written(picture, "tiff")[1]
    assert "PNG text" in note
    assert "colour space" in note


def test_stating_srgb_is_no_loss():
    chunks = (b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455))
    picture = read(make.png(RGB8, *(make.png_chunk(*chunk) for chunk in chunks)))
    assert not written(picture, "jpg")[1]


@pytest.mark.parametrize("source", ["jpg", "png", "tiff"])
def test_strip_metadata_leaves_only_the_profile(source):
    picture = read(with_metadata(source, make.exif(6)))
    data, notes = written(picture, strip_metadata=True)
    left = read(data).metadata
    assert (left.exif, left.xmp, left.dpi) == (None, None, None)
    assert left.icc == make.SRGB
    assert not notes
    assert b"Maker" not in data


def test_resolution_of_a_bmp_is_kept():
    picture = read(make.save(RGB8, "BMP", dpi=(200, 200)))
    np.testing.assert_allclose(again(picture, "bmp").metadata.dpi, (200, 200), atol=0.05)
