"""Animations read: what is seen of frames, and what is damaged or odd in their files."""

import struct
from fractions import Fraction
from io import BytesIO

import image_fixtures as make
import numpy as np
import pytest
from animation_files import (
    LOSSLESS,
    animation,
    apng,
    by_pillow,
    composed,
    few_colours,
    opened,
    rgba,
    seen,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio import Picture, parse_pages, read_first, read_pictures

SIZE = (9, 7)


@st.composite
def parts(draw):
    """A few frames on a canvas of SIZE, anywhere on it, of any alpha."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    found = []
    for number in range(draw(st.integers(2, 5))):
        left, top = draw(st.integers(0, SIZE[0] - 1)), draw(st.integers(0, SIZE[1] - 1))
        width, height = rng.integers(1, SIZE[0] - left + 1), rng.integers(1, SIZE[1] - top + 1)
        if number == 0:
            left, top, (width, height) = 0, 0, SIZE
        array = rng.integers(0, 256, (height, width, 4), np.uint8)
        hard = draw(st.booleans())
        array[..., 3] = np.where(array[..., 3] < 128, 0, 255) if hard else array[..., 3]
        found.append((array, left, top, draw(st.integers(0, 2)), draw(st.integers(0, 1))))
    return found


@settings(max_examples=60, deadline=None)
@given(parts())
def test_frames_are_composed_as_the_specification_says(found):
    for (picture, _), wanted in zip(opened(apng(SIZE, found)), composed(SIZE, found), strict=True):
        # The canvas holds 8 bits between frames, the reference does not.
        difference = rgba(picture).astype(int) - wanted
        faint = wanted[..., 3] < 8  # of which colours are hardly defined
        assert np.abs(difference[~faint]).max(initial=0) <= 2 * len(found)
    hard = all(set(np.unique(part[0][..., 3])) <= {0, 255} for part in found)
    if hard:
        assert not np.abs(difference).any()


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("seed", range(4))
def test_frames_are_those_that_pillow_shows(format, seed):
    rng = np.random.default_rng(seed)
    frames = [few_colours(seed)]
    for number in range(4):
        frame = frames[-1].copy()
        top, left = rng.integers(0, 14), rng.integers(0, 20)
        frame[top : top + 6, left : left + 8] = few_colours(number + 10, (8, 6))
        frames.append(frame)
    if seed % 2:  # with holes
        frames = [np.dstack((f, np.where(rng.random(f.shape[:2]) < 0.3, 0, 255))) for f in frames]
        frames = [frame.astype(np.uint8) for frame in frames]
    clear = {"GIF": 2, "PNG": 1}.get(format, 0)
    more = {"disposal": clear} if clear and seed % 2 else {}
    data = animation(format, frames, **more)
    pictures = [picture for picture, _ in opened(data)]
    for picture, frame, wanted in zip(pictures, frames, by_pillow(data), strict=True):
        np.testing.assert_array_equal(rgba(picture), wanted)
        if frame.shape[2] == 4:
            np.testing.assert_array_equal(wanted, seen(frame))
        else:
            assert picture.alpha is None


def test_sixteen_bits_stay():
    frames = [make.random_array(3, np.uint16, SIZE, seed) for seed in (1, 2)]
    data = apng(SIZE, [(frame, 0, 0, 0, 0) for frame in frames])
    for (picture, seconds), frame in zip(opened(data), frames, strict=True):
        np.testing.assert_array_equal(picture.pixels, frame)
        assert picture.alpha is None and seconds == Fraction(1, 20)


def test_a_still_for_viewers_without_animation_is_no_frame():
    frames = [few_colours(seed, SIZE) for seed in range(3)]
    images = [Image.fromarray(frame) for frame in frames]
    data = make.save(images[0], "PNG", save_all=True, append_images=images[1:], default_image=True)
    pictures = [picture for picture, _ in opened(data)]
    np.testing.assert_array_equal([picture.pixels for picture in pictures], frames[1:])
    assert "without animation" in pictures[0].metadata.notes[0]


def test_orientation_turns_every_frame():
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [few_colours(seed, SIZE) for seed in range(2)]
    for format in ("WEBP", "PNG"):
        data = animation(format, frames, exif=exif)
        for (picture, _), frame in zip(opened(data), frames, strict=True):
            np.testing.assert_array_equal(picture.pixels, np.rot90(frame, -1))


def test_a_gif_frame_reaches_beyond_the_screen():
    frames = [few_colours(0, SIZE), few_colours(0, SIZE) + 20]
    data = bytearray(animation("GIF", frames))
    at = data.rindex(b"\x2c\0\0\0\0" + struct.pack("<HH", *SIZE))
    data[at + 1 : at + 5] = struct.pack("<HH", 3, 2)  # the second frame moves to the right, down
    picture = list(opened(bytes(data)))[1][0]
    np.testing.assert_array_equal(picture.pixels[2:, 3:], frames[1][:-2, :-3])
    np.testing.assert_array_equal(picture.pixels[:2], frames[0][:2])


def test_one_frame_is_a_picture_as_before():
    for format in LOSSLESS:
        data = animation(format, [few_colours(0)])
        assert isinstance(read_pictures(BytesIO(data)), Picture)
        np.testing.assert_array_equal(read_first(BytesIO(data)).pixels, few_colours(0))


@pytest.mark.parametrize("format", LOSSLESS)
def test_one_of_several_is_what_is_seen_then(format):
    frames = [few_colours(seed) for seed in range(3)]
    data = animation(format, frames)
    picture = read_first(BytesIO(data), number=3)
    np.testing.assert_array_equal(picture.pixels, frames[2])
    assert [*opened(data, parse_pages("2-")).numbers] == [2, 3]
    with pytest.raises(ImageError, match="has 3 frames, and --pages 4 asks for number 4"):
        read_pictures(BytesIO(data), pages=parse_pages("4"))


@pytest.mark.parametrize("format", LOSSLESS)
def test_cut_anywhere_is_one_sentence_or_all_there(format):
    frames = [few_colours(seed, SIZE) for seed in range(3)]
    data = animation(format, frames)
    for end in range(40, len(data) - 1, 7):
        try:
            found = read_pictures(BytesIO(data[:end]))
            pictures = [p for p, _ in found] if not isinstance(found, Picture) else [found]
        except ImageError as error:
            assert "damaged" in error.message or "is not a picture" in error.message
            continue
        # Only an end mark was missing, or the second frame was not begun.
        wanted = frames if len(pictures) > 1 else frames[:1]
        np.testing.assert_array_equal([picture.pixels for picture in pictures], wanted)


@pytest.mark.parametrize("format", LOSSLESS)
def test_whole_frames_before_the_damage_can_be_taken(format):
    frames = [few_colours(seed) for seed in range(4)]
    data = animation(format, frames)[:-60]
    with pytest.raises(ImageError, match="behind its frame 3") as caught:
        read_pictures(BytesIO(data))
    assert "--pages 1-3" in caught.value.hint
    taken = [picture.pixels for picture, _ in opened(data, parse_pages("1-3"))]
    np.testing.assert_array_equal(taken, frames[:3])


def test_damage_within_a_frame_names_it():
    data = bytearray(animation("PNG", [few_colours(seed) for seed in range(3)]))
    data[data.rindex(b"fdAT") + 20] ^= 255
    several = opened(bytes(data))
    with pytest.raises(ImageError, match="frame 3, is damaged.*checksum"):
        list(several)


def test_a_canvas_beyond_all_limits_is_refused():
    data = bytearray(animation("GIF", [few_colours(0), few_colours(1)]))
    data[6:10] = struct.pack("<HH", 65535, 65535)
    with pytest.raises(ImageError, match="megapixels"):
        list(opened(bytes(data)))
