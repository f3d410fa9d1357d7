"""What JPEG files carry around their pixels, and JPEG files that are not quite whole."""

import struct
import time
from io import BytesIO

import image_fixtures as make
import numpy as np
import pytest
from image_cases import RGB8, read, written
from PIL import Image

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.xmp import without_announcements

CAMERA = b"http://ns.google.com/photos/1.0/camera/"
CONTAINER = b"http://ns.google.com/photos/1.0/container/"
GUID = b"0123456789ABCDEF0123456789ABCDEF"


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg(*segments: bytes, **options) -> bytes:
    """A JPEG with more segments behind its first one."""
    data = make.save(make.smooth(), "JPEG", quality=95, **options)
    first = 4 + int.from_bytes(data[4:6], "big")
    return data[:first] + b"".join(segments) + data[first:]


def resources(*blocks: tuple[int, bytes]) -> bytes:
    packed = b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + bytes(len(body) % 2)
        for number, body in blocks
    )
    return segment(0xED, b"Photoshop 3.0\0" + packed)


def xmp(inside: bytes) -> bytes:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description ' + inside + b"</x:xmpmeta>"
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)


CAPTION = b"\x1c\x02\x78\0\x07A storm"
IPTC = resources((0x0404, CAPTION), (0x040C, b"a thumbnail"), (0x03ED, b"resolution"))


# Captions and comments


def test_captions_and_comments_stay_in_a_jpeg():
    data, notes = written(read(jpeg(IPTC, segment(0xFE, b"by Anna"))), "jpg")
    assert CAPTION in data
    assert b"a thumbnail" not in data  # it shows the picture as it was
    assert Image.open(BytesIO(data)).info["comment"] == b"by Anna"
    assert not notes


def test_captions_go_from_jpeg_to_tiff_and_back():
    tiff, notes = written(read(jpeg(IPTC)), "tiff")
    assert not notes
    assert Image.open(BytesIO(tiff)).tag_v2[34377].startswith(b"8BIM\x04\x04")
    assert CAPTION in written(read(tiff), "jpg")[0]


@pytest.mark.parametrize("format", ["png", "webp", "bmp"])
def test_where_captions_cannot_stay_that_is_said(format):
    (note,) = written(read(jpeg(IPTC, segment(0xFE, b"by Anna"))), format)[1]
    assert "IPTC captions" in note
    assert ("comment" in note) == (format != "png")


def test_a_comment_is_text_in_a_png():
    data, notes = written(read(jpeg(segment(0xFE, b"by Anna"))), "png")
    assert Image.open(BytesIO(data)).info["Comment"] == "by Anna"
    assert not notes


def test_long_captions_are_split_and_joined():
    long = bytes(range(256)) * 400
    half = [resources((0x0404, CAPTION)), b""]
    whole = b"8BIM" + struct.pack(">HHI", 0x1234, 0, len(long)) + long
    parts = [whole[:60_000], whole[60_000:]]
    half = b"".join(segment(0xED, b"Photoshop 3.0\0" + part) for part in parts)
    again = read(written(read(jpeg(half)), "jpg")[0])
    assert again.metadata.photoshop == whole


def test_stripping_leaves_none_of_it():
    video = b"\0\0\0\x18ftypmp42" + bytes(500)
    packet = xmp(b'xmlns:GCamera="' + CAMERA + b'" GCamera:MotionPhoto="1"/>')
    picture = read(jpeg(IPTC, segment(0xFE, b"by Anna"), packet) + video)
    data = written(picture, "jpg", strip_metadata=True)[0]
    assert not any(part in data for part in (CAPTION, b"Anna", b"ftyp", b"MotionPhoto"))


def test_what_no_reader_knows_is_said_once():
    segments = [segment(0xE4, b"a"), segment(0xE4, b"b"), segment(0xEB, b"JP\0\0jumbc2pa")]
    (note,) = read(jpeg(*segments)).metadata.notes
    assert note == "its APP4 data, its content credentials (C2PA) left out"


# Extended XMP


def extended(*pieces: bytes) -> list[bytes]:
    total, at, segments = sum(map(len, pieces)), 0, []
    for piece in pieces:
        head = b"http://ns.adobe.com/xmp/extension/\0" + GUID + struct.pack(">II", total, at)
        segments.append(segment(0xE1, head + piece))
        at += len(piece)
    return segments


NOTED = xmp(
    b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="' + GUID + b'"/>'
)


def test_extended_xmp_stays_in_a_jpeg_and_is_said_elsewhere():
    picture = read(jpeg(NOTED, *extended(b"<x>" * 20_000, b"</x>" * 15_000)))
    data, notes = written(picture, "jpg")
    assert not notes
    assert data.count(GUID) == 3
    assert read(data).metadata.xmp_extension == picture.metadata.xmp_extension
    data, (note,) = written(picture, "png")
    assert "extended XMP" in note
    assert b"HasExtendedXMP" not in data


def test_extended_xmp_with_a_part_missing_is_left_out_with_its_mention():
    for parts in (extended(b"one", b"two")[:1], [], extended(b"one", b"two")[1:]):
        picture = read(jpeg(NOTED, *parts))
        assert "extended XMP" in picture.metadata.notes[0]
        assert b"HasExtendedXMP" not in written(picture, "jpg")[0]


# Behind the picture

VIDEO = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 8
MOTION = xmp(b'xmlns:C="' + CAMERA + b'" C:MotionPhoto="1" C:MicroVideoOffset="2072" C:Burst="7"/>')
GAIN = xmp(
    b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" xmlns:D="'
    + CONTAINER
    + b'"><D:Directory><rdf:Seq><rdf:li D:What="GainMap"/></rdf:Seq></D:Directory>'
    + b"</rdf:Description>"
)


def ultra_hdr(*segments: bytes, **options) -> bytes:
    """Two pictures, the second a gain map of half the size, as an MPO."""
    small = Image.fromarray(make.smooth()[::2, ::2, 1])
    stream = BytesIO()
    Image.fromarray(make.smooth()).save(
        stream, "MPO", save_all=True, append_images=[small], quality=95, **options
    )
    if not segments:
        return stream.getvalue()
    # Into the first picture, before its directory: offsets count from there, and stay true.
    data = stream.getvalue()
    return data[:20] + b"".join(segments) + data[20:]


def test_a_motion_photos_video_stays_with_what_announces_it():
    for block in (make.exif(1), make.exif(6)):
        source = jpeg(MOTION, exif=b"Exif\0\0" + block) + VIDEO
        data, notes = written(read(source), "jpg")
        assert data.endswith(b"\xff\xd9" + VIDEO)
        assert b'C:MicroVideoOffset="2072"' in data
        assert not notes


def test_a_video_that_is_lost_is_said_and_not_announced():
    data, (note,) = written(read(jpeg(MOTION) + VIDEO), "webp")
    assert "the video" in note
    assert b"MotionPhoto" not in data
    assert b"MicroVideo" not in data
    assert b'C:Burst="7"' in data  # that is true still


def test_a_gain_map_stays_where_its_directory_says():
    source = ultra_hdr(GAIN)
    data, notes = written(read(source), "jpg", quality=30)
    assert not notes
    first, second = Image.open(BytesIO(data))._getmp()[0xB002]
    assert first["Size"] == data.index(b"\xff\xd9") + 2
    assert first["Size"] + second["Size"] == len(data)
    at = data.index(b"MPF\0") + 4 + second["DataOffset"]
    assert data[at : at + second["Size"]] == source[source.rindex(b"\xff\xd8\xff") :]


def test_a_gain_map_of_a_turned_picture_is_left_out_said_and_not_announced():
    picture = read(ultra_hdr(GAIN, exif=b"Exif\0\0" + make.exif(6)))
    (note,) = picture.metadata.notes
    assert "HDR gain map" in note
    assert "turned" in note
    data = written(picture, "jpg")[0]
    assert data.count(b"\xff\xd8\xff") == 1
    assert not any(word in data for word in (b"GainMap", b"hdrgm:Version", b"MPF\0"))


def test_pictures_behind_that_nothing_explains_are_said():
    picture = read(ultra_hdr())
    assert "further pictures" in picture.metadata.notes[0]
    assert written(picture, "jpg")[0].count(b"\xff\xd8\xff") == 1


@pytest.mark.parametrize(("tail", "said"), [(bytes(900), False), (b"padding", True)])
def test_other_bytes_behind_are_said_unless_they_are_nothing(tail, said):
    picture = read(jpeg() + tail)
    assert bool(picture.metadata.notes) == said
    assert written(picture, "jpg")[0].endswith(b"\xff\xd9")


# Resolution


def density(data: bytes) -> tuple[int, int, int]:
    return struct.unpack_from(">BHH", data, 13)


def with_density(unit: int, wide: int, high: int, **options) -> bytes:
    data = bytearray(jpeg(**options))
    struct.pack_into(">BHH", data, 13, unit, wide, high)
    return bytes(data)


def test_the_unit_of_the_resolution_stays():
    for stated in ((1, 300, 300), (2, 118, 118), (0, 2, 1)):
        picture = read(with_density(*stated))
        assert density(written(picture, "jpg")[0]) == stated
    turned = read(with_density(0, 2, 1, exif=b"Exif\0\0" + make.exif(6)))
    assert density(written(turned, "jpg")[0]) == (0, 1, 2)


def test_pixels_that_are_not_square_stay_so_and_are_said_elsewhere():
    picture = read(with_density(0, 2, 1))
    for format in ("png", "tiff"):
        assert density(written(read(written(picture, format)[0]), "jpg")[0]) == (0, 2, 1)
    (note,) = written(picture, "webp")[1]
    assert "the pixels' shape" in note


# Not quite whole


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"restart_marker_blocks": 2},
        {"progressive": True, "restart_marker_rows": 1},
        {"subsampling": 0},
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_missing_end_mark_is_no_damage_and_missing_pixels_are(options, seed):
    image = Image.fromarray(make.random_array(3, size=(50, 41), seed=seed) // 4 + make_slope())
    data = make.save(image, "JPEG", quality=80, **options)
    expected = read(data).pixels
    for missing in (1, 2):
        picture = read(data[:-missing])
        np.testing.assert_array_equal(picture.pixels, expected)
        assert "end mark" in picture.metadata.notes[0]
    boundaries = [
        at
        for at in range(len(data) // 3, len(data) - 2)
        if data[at] == 0xFF and (data[at + 1] in (0xC4, 0xDA) or 0xD0 <= data[at + 1] < 0xD8)
    ]
    for end in [*boundaries[:: max(1, len(boundaries) // 20)], *range(len(data) - 12, len(data))]:
        try:
            picture = read(data[:end])
        except ImageError:
            assert end < len(data) - 2
        else:
            np.testing.assert_array_equal(picture.pixels, expected)


def make_slope() -> np.ndarray:
    return (np.mgrid[:41, :50][0] * 2)[..., None].astype(np.uint8)


@pytest.mark.parametrize(
    ("marker", "bits", "reason"),
    [(0xC1, 12, "JPEG of 12 bits"), (0xC3, 8, "lossless JPEG"), (0xC5, 8, "hierarchical JPEG")],
)
def test_kinds_of_jpeg_that_are_not_read_are_named(marker, bits, reason):
    data = bytearray(make.save(RGB8, "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, bits
    with pytest.raises(ImageError, match=reason):
        read(bytes(data))


def test_a_damaged_profile_is_left_out_and_said():
    for icc in (b"not a profile", make.SRGB[:200]):
        picture = read(jpeg(icc_profile=icc))
        assert picture.metadata.icc is None
        assert "profile" in picture.metadata.notes[0]
    part = segment(0xE2, b"ICC_PROFILE\0\1\2" + make.SRGB[:200])  # the first of two
    picture = read(jpeg(part))
    assert picture.metadata.icc is None
    assert "profile" in picture.metadata.notes[0]


@pytest.mark.parametrize(
    "body",
    [b" " * 60_000, b"<C:MotionPhoto" + b" " * 50_000, b"<C:MotionPhoto>" * 900],
    ids=["spaces", "element", "elements"],
)
def test_a_hostile_packet_takes_no_time(body):
    started = time.perf_counter()
    without_announcements(b'xmlns:C="' + CAMERA + b'" ' + body)
    assert time.perf_counter() - started < 1
