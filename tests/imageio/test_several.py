"""Which pictures of a file are meant, and the pages of TIFF files: their pixels and their tags."""

import struct
from io import BytesIO

import image_fixtures as make
import numpy as np
import pytest
from animation_files import few_colours, opened, rewritten
from hypothesis import given
from hypothesis import strategies as st
from image_cases import GRAY8, RGB8, RGB16, RGBA8, RGBF, again, read, whole
from PIL import Image
from tiff_files import MASK, PAGE, REDUCED, joined, page

from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.imageio import Picture, parse_pages, read_first, read_pictures
from drcnet_cli.imageio.tiff_write import TiffWriter


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)), min_size=1, max_size=5))
def test_pages_are_those_that_are_named_in_the_files_order(ranges):
    text = ",".join(f"{a}-{a + b}" if b else f" {a} " for a, b in ranges)
    wanted = sorted({number for a, b in ranges for number in range(a, a + b + 1)})
    assert parse_pages(text).choose(40) == wanted
    assert parse_pages(f"{text},38-").choose(40) == sorted({*wanted, 38, 39, 40})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be"),
        ("0", "counted from 1"),
        ("5-3", "ends before it begins"),
        ("a", "cannot be"),
        ("1,,2", "cannot be"),
        ("-3", "cannot be"),
        ("1-2-3", "cannot be"),
        ("1.5", "cannot be"),
        ("\N{ARABIC-INDIC DIGIT THREE}", "cannot be"),
    ],
)
def test_pages_that_are_none_are_refused(text, said):
    with pytest.raises(UsageError, match=said):
        parse_pages(text)


def test_pages_beyond_the_end_are_refused_at_once():
    with pytest.raises(ImageError, match="has 3 pages, and --pages 2-9 asks for number 9"):
        parse_pages("2-9").choose(3, "page")
    with pytest.raises(ImageError, match="has one picture"):
        parse_pages("1-99999999999999").choose(1)


def test_a_file_of_one_picture_has_a_first_one():
    for data in (make.save(RGB8, "PNG"), make.tiff(RGB8), make.save(RGB8, "JPEG")):
        assert isinstance(read_pictures(BytesIO(data), pages=parse_pages("1-")), Picture)
        with pytest.raises(ImageError, match="has one picture, and --pages 2"):
            read_pictures(BytesIO(data), pages=parse_pages("2"))


# Pages

ARRAYS = [RGB8, GRAY8, RGB16, RGBA8, RGB8[:5, :9].copy(), RGBF]
TEXT = b"page of a book\0"
ICC = (34675, 7, list(make.SRGB))


def tags(orientation=1, name=b"") -> list:
    text = TEXT + name + b"\0" * (1 + len(name) % 2)
    return [
        (270, 2, list(text)),
        (274, 3, [orientation]),
        (282, 5, [300, 1]),
        (283, 5, [150, 1]),
        (296, 3, [2]),
        (306, 2, list(b"2024:01:02 03:04:05\0")),
        (700, 1, list(make.XMP)),
        ICC,
    ]


def test_pages_of_any_size_and_depth_stay_what_they_are():
    made, notes = rewritten(joined(*(page(array, PAGE) for array in ARRAYS)), "tiff")
    assert notes == []
    for array, (picture, _) in zip(ARRAYS, opened(made), strict=True):
        np.testing.assert_array_equal(whole(picture), array)
        assert picture.pixels.dtype == array.dtype


def test_others_read_the_pages_and_their_numbers():
    arrays = [RGB8, GRAY8, RGBA8]
    image = Image.open(BytesIO(rewritten(joined(*map(page, arrays)), "tiff")[0]))
    assert image.n_frames == 3
    for number, array in enumerate(arrays):
        image.seek(number)
        np.testing.assert_array_equal(np.asarray(image), array)
        assert image.tag_v2[254] == PAGE
        assert tuple(image.tag_v2[297]) == (number, 3)


def test_each_page_keeps_what_a_file_of_its_own_would():
    each = [page(RGB8, PAGE, *tags(n + 1, b"%d" % n)) for n in range(8)]
    each.append(page(GRAY8, PAGE))
    made, _ = rewritten(joined(*each), "tiff")
    for number, ((found, _), data) in enumerate(zip(opened(made), each, strict=True)):
        alone = again(read(data), "tiff")
        np.testing.assert_array_equal(found.pixels, alone.pixels)
        assert found.metadata == alone.metadata
        assert read_first(BytesIO(made), number=number + 1).metadata == alone.metadata
        assert (found.metadata.dpi is None) == (number == 8)
    bare, _ = rewritten(joined(*each), "tiff", strip_metadata=True)
    assert not any(picture.metadata.exif for picture, _ in opened(bare))


@pytest.mark.parametrize("first", [None, "<", ">"])
@pytest.mark.parametrize("second", ["<", ">"])
def test_pages_of_either_byte_order_go_into_one_file(first, second):
    one = Picture(RGB8) if first is None else read(make.tiff(RGB8, order=first, tags=tags()[:1]))
    other, buffer = read(make.tiff(RGB16, order=second, tags=tags()[:6])), BytesIO()
    pages = TiffWriter(buffer, 2)
    pages.add(one)
    pages.add(other)
    image = Image.open(buffer)
    image.seek(1)
    assert image.tag_v2[270].rstrip("\0") == TEXT[:-1].decode()
    assert image.tag_v2[306].startswith("2024")
    found = read_first(BytesIO(buffer.getvalue()), number=2)
    np.testing.assert_array_equal(found.pixels, RGB16)
    assert found.metadata.dpi == other.metadata.dpi == (300, 150)


def test_a_big_tiff_and_tiles_and_deflate_are_read_page_by_page():
    for options in ({"big_tiff": True}, {"compression": "tiff_adobe_deflate"}, {}):
        images = [Image.fromarray(few_colours(seed)) for seed in range(3)]
        data = make.save(images[0], "TIFF", save_all=True, append_images=images[1:], **options)
        for (picture, _), image in zip(opened(data), images, strict=True):
            np.testing.assert_array_equal(picture.pixels, np.asarray(image))


def test_masks_and_smaller_copies_are_left_out_and_said():
    small = np.ascontiguousarray(RGB8[::2, ::2])
    data = joined(page(RGB8), page(small, REDUCED), page(RGB8, PAGE), page(GRAY8, MASK))
    several = opened(data)
    assert len(several) == 2
    assert several.notes == (
        "a mask of a page was left out",
        "a smaller copy of a page was left out",
    )
    assert len(list(several)) == 2


def test_more_than_a_thousand_pages_are_all_there():
    tiny = np.zeros((1, 1), np.uint8)
    data = make.tiff(tiny, pages=1200)
    several = opened(data)
    assert len(several) == 1200
    assert len(opened(data, parse_pages("1001,1200"))) == 2


def test_a_page_that_is_cut_off_is_named_and_those_before_can_be_taken():
    data = joined(page(RGB8), page(RGB8, PAGE), page(RGB8, PAGE))
    assert len(opened(data)) == 3
    broken = bytearray(data)
    at = broken.rindex(struct.pack("<HHI", 273, 4, 1))
    broken[at + 8 : at + 12] = struct.pack("<I", len(data))  # the third's pixels are not there
    with pytest.raises(ImageError, match="page 3, is damaged or cut off"):
        list(opened(bytes(broken)))
    assert len(list(opened(bytes(broken), parse_pages("1-2")))) == 2
    # The second's link leads beyond the end.
    links = bytearray(data)
    links[_link(data, 2) : _link(data, 2) + 4] = struct.pack("<I", len(data) + 99)
    with pytest.raises(ImageError, match="behind its page 2") as caught:
        read_pictures(BytesIO(bytes(links)))
    assert "--pages 1-2" in caught.value.hint
    assert len(list(opened(bytes(links), parse_pages("1,2")))) == 2


def _link(data: bytes, number: int) -> int:
    """Where the link of the page with this number, counted from 1, lies."""
    at = int.from_bytes(data[4:8], "little")
    for _ in range(number):
        link = at + 2 + 12 * int.from_bytes(data[at : at + 2], "little")
        at = int.from_bytes(data[link : link + 4], "little")
    return link


@pytest.mark.parametrize("format", ["png", "gif", "webp"])
def test_pages_are_no_animation(format):
    with pytest.raises(ImageError, match="has 2 pages, and .* no pages") as caught:
        rewritten(joined(page(RGB8), page(RGB8, PAGE)), format)
    assert "--format tiff" in caught.value.hint


def test_an_animation_becomes_pages_without_time():
    frames = [few_colours(seed) for seed in range(3)]
    images = [Image.fromarray(frame) for frame in frames]
    data = make.save(images[0], "GIF", save_all=True, append_images=images[1:], duration=80)
    made, notes = rewritten(data, "tiff")
    assert notes == ["TIFF has no time: durations left out"]
    np.testing.assert_array_equal([picture.pixels for picture, _ in opened(made)], frames)
