"""What PNG, TIFF and AVIF carry beside their pixels, and damage that does not reach these."""

import struct
import zlib
from io import BytesIO

import image_fixtures as make
import numpy as np
import pytest
from image_cases import RGB8, RGB16, again, needs_avif, read, whole, written
from PIL import Image

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio import Metadata, Picture, picture_from_image

P3, HDR = (12, 13), (9, 16)


# Colour spaces as numbers


def cicp_png(primaries: int, transfer: int, matrix=0, full=1) -> bytes:
    return make.png(RGB8, make.png_chunk(b"cICP", bytes((primaries, transfer, matrix, full))))


@needs_avif
@pytest.mark.parametrize("pair", [P3, HDR])
def test_a_colour_space_goes_between_png_and_avif(pair):
    picture = read(cicp_png(*pair))
    for format in ("png", "avif"):
        data, notes = written(picture, format)
        assert not notes
        assert read(data).metadata.cicp == pair
    assert b"cICP" + bytes((*pair, 0, 1)) in written(read(written(picture, "avif")[0]), "png")[0]
    stripped = written(picture, "avif", strip_metadata=True)[0]
    assert read(stripped).metadata.cicp == pair  # without it colours change


@pytest.mark.parametrize("format", ["jpg", "tiff", "webp", "bmp"])
def test_a_colour_space_that_is_lost_is_said(format):
    (note,) = written(read(cicp_png(*P3)), format)[1]
    assert "colour space (CICP 12/13)" in note


@pytest.mark.parametrize("pair", [(1, 13), (2, 2), (1, 1), (1, 6)])
def test_srgb_and_television_are_no_loss(pair):
    assert not written(read(cicp_png(*pair)), "jpg")[1]


def test_numbers_of_a_narrow_range_stay_as_they_were():
    data, notes = written(read(cicp_png(9, 16, full=0)), "png")
    assert b"cICP\x09\x10\0\0" in data
    assert not notes


# TIFF's own

GEO = [
    (33550, 12, (10.0, 10.0, 0.0)),
    (33922, 12, (0.0, 0.0, 0.0, 500_000.0, 4_000_000.0, 0.0)),
    (34735, 3, [1, 1, 0, 1, 1024, 0, 1, 1]),
    (34737, 2, list(b"WGS 84|\0")),
]
IMAGEJ = [(50838, 4, [12, 8]), (50839, 1, list(b"IJIJinfo a note here"))]


@pytest.fixture(autouse=True)
def doubles(monkeypatch):
    """Let the TIFF fixture write doubles too."""
    plain = make._append_directory

    def append(file, order, entries):
        entries = {
            number: (7, list(struct.pack(f"{order}{len(values)}d", *values)))
            if kind == 12
            else (kind, values)
            for number, (kind, values) in entries.items()
        }
        return plain(file, order, entries)

    monkeypatch.setattr(make, "_append_directory", append)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("array", [RGB8, RGB16], ids=["8 bits", "16 bits"])
def test_a_georeference_and_imagejs_data_stay_in_a_tiff(array, order):
    source = make.tiff(array, order=order, tags=[*GEO, *IMAGEJ, (271, 2, list(b"Maker\0"))])
    data, notes = written(read(source), "tiff")
    assert not notes
    before, after = Image.open(BytesIO(source)).tag_v2, Image.open(BytesIO(data)).tag_v2
    for number, *_ in [*GEO, *IMAGEJ, (271,)]:
        assert after[number] == before[number]
    (note,) = written(read(source), "png")[1]
    assert "georeference" in note
    assert "ImageJ" in note
    stripped = Image.open(BytesIO(written(read(source), "tiff", strip_metadata=True)[0])).tag_v2
    assert not {number for number, *_ in GEO} & set(stripped)


def test_a_georeference_of_a_turned_picture_is_left_out_and_said():
    picture = read(make.tiff(RGB8, tags=[*GEO, *IMAGEJ, (274, 3, [6])]))
    assert "georeference" in picture.metadata.notes[0]
    data, _ = written(picture, "tiff")
    assert 33550 not in Image.open(BytesIO(data)).tag_v2
    assert 50839 in Image.open(BytesIO(data)).tag_v2


def test_layers_that_are_left_out_are_said():
    (note,) = read(make.tiff(RGB8, tags=[(37724, 7, list(b"layers" * 10))])).metadata.notes
    assert "layers" in note


def test_centimetres_stay_centimetres():
    data = make.save(RGB8, "TIFF", resolution_unit=3, x_resolution=118.0, y_resolution=118.0)
    for suffix in ("tiff", "jpg"):
        found = Image.open(BytesIO(written(read(data), suffix)[0]))
        if suffix == "tiff":
            assert (found.tag_v2[296], found.tag_v2[282]) == (3, 118)
        else:
            assert (found.info["jfif_unit"], found.info["jfif_density"]) == (2, (118, 118))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_the_shape_of_pixels_stays(suffix):
    source = make.png(RGB8, make.png_chunk(b"pHYs", struct.pack(">IIB", 4, 3, 0)))
    assert again(read(source), suffix).metadata.resolution.aspect == (4, 3)


def test_a_resolution_turns_with_its_picture():
    chunks = (
        make.png_chunk(b"pHYs", struct.pack(">IIB", 4000, 2000, 1)),
        make.png_chunk(b"eXIf", make.exif(6)),
    )
    wide, high = read(make.png(RGB8, *chunks)).metadata.dpi or (0, 0)
    assert high == pytest.approx(2 * wide)


# Damage beside sound pixels

BROKEN = {
    "colour profile": make.png_chunk(b"iCCP", b"name\0\0no zlib stream"),
    "XMP": make.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib stream"),
    "EXIF text": make.png_chunk(b"zTXt", b"Raw profile type exif\0\0no zlib stream"),
    "profile": make.png_chunk(b"iCCP", b"name\0\0" + zlib.compress(b"no profile at all")),
}


@pytest.mark.parametrize("array", [RGB8, RGB16], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("name", BROKEN)
def test_damage_beside_the_pixels_is_left_out_and_said(name, array):
    picture = read(make.png(array, BROKEN[name]))
    np.testing.assert_array_equal(picture.pixels, array)
    (note,) = picture.metadata.notes
    assert "damaged" in note
    assert name in note
    assert not read(written(picture, "png")[0]).metadata.notes


@pytest.mark.parametrize(
    ("kind", "name"), [(b"tEXt", "text"), (b"eXIf", "EXIF"), (b"gAMA", "gAMA")]
)
def test_a_chunk_whose_checksum_is_wrong_is_said(kind, name):
    chunk = bytearray(make.png_chunk(kind, b"\0\0\xb1\x8f"))
    chunk[-1] ^= 1
    picture = read(make.png(RGB8, bytes(chunk)))
    np.testing.assert_array_equal(picture.pixels, RGB8)
    assert name in picture.metadata.notes[0]


@pytest.mark.parametrize("array", [RGB8, RGB16], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_without_its_end_mark_is_whole_and_one_without_rows_is_not(array, interlaced):
    data = make.png(array, interlaced=interlaced)
    for missing in (1, 8, 12):
        picture = read(data[:-missing])
        np.testing.assert_array_equal(picture.pixels, array)
        assert "end mark" in picture.metadata.notes[0]
    for missing in (13, 40, 200):
        with pytest.raises(ImageError):
            read(data[:-missing])


def test_a_damaged_profile_of_a_pillow_image_is_left_out():
    image = Image.fromarray(RGB8)
    image.info["icc_profile"] = b"no profile"
    picture = picture_from_image(image)
    assert picture.metadata.icc is None
    assert "profile" in picture.metadata.notes[0]


def test_fields_of_two_byte_orders_do_not_mix():
    little = read(make.tiff(RGB8, tags=GEO)).metadata.tiff_fields
    picture = Picture(RGB8, metadata=Metadata(exif=make.exif(order=">"), tiff_fields=little))
    data, _ = written(picture, "tiff")
    assert data.startswith(b"MM")
    np.testing.assert_array_equal(whole(read(data)), RGB8)


def test_a_gifs_comment_is_text_in_a_png():
    picture = read(make.save(Image.fromarray(RGB8), "GIF", comment=b"by Anna"))
    data, notes = written(picture, "png")
    assert Image.open(BytesIO(data)).info["Comment"] == "by Anna"
    assert not notes
    assert "comment" in written(picture, "webp")[1][0]
