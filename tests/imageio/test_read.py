import os
import struct
import sys
import threading
import tracemalloc
import warnings
import zlib
from contextlib import suppress
from io import BytesIO

import cv2
import image_fixtures as make
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_cases import (
    EXACT,
    F32,
    GRAY16,
    GRAYF,
    LZW,
    PALETTE_GIF,
    RGB8,
    RGB16,
    RGBA8,
    RGBA16,
    again,
    read,
    whole,
)
from PIL import Image

from drcnet_cli.errors import DrcnetError, ImageError
from drcnet_cli.imageio import (
    Picture,
    png,
    read_picture,
    writable_formats,
    write_picture,
)


@pytest.mark.parametrize("name", EXACT)
def test_every_mode_is_read_exactly(name):
    data, expected = EXACT[name]
    picture = read(data)
    assert whole(picture).dtype == expected.dtype
    np.testing.assert_array_equal(whole(picture), expected)
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.flags.writeable
    assert not picture.metadata.notes


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_every_mode_survives_being_written_and_read_again(name, format):
    picture = read(EXACT[name][0])
    if format == "png" and picture.pixels.dtype == F32:
        pytest.skip("PNG holds no floating point")
    np.testing.assert_array_equal(whole(again(picture, format)), whole(picture))


def test_cmyk_is_converted_through_its_profile():
    profile = make.cmyk_profile()
    inks = Image.new("CMYK", make.SIZE, (255, 0, 255, 0))
    picture = read(make.save(inks, "TIFF", icc_profile=profile))
    # The profile gives half lightness and no colour; plain arithmetic would give pure green.
    red, green, blue = picture.pixels[0, 0].astype(int)
    assert max(red, green, blue) - min(red, green, blue) <= 3
    assert 100 < green < 140
    assert picture.metadata.icc
    assert picture.metadata.icc[16:20] == b"RGB "
    # The day on which the profile was made, which is now, would make each output another.
    assert struct.unpack(">6H", picture.metadata.icc[24:36]) == (2000, 1, 1, 0, 0, 0)
    assert picture.metadata.notes == ("CMYK was converted to sRGB through its profile",)


@pytest.mark.parametrize("profile", [b"", b"not a profile", make.SRGB])
def test_cmyk_without_a_usable_profile_is_converted_and_said(profile):
    inks = Image.new("CMYK", make.SIZE, (255, 0, 255, 0))
    picture = read(make.save(inks, "JPEG", quality=100, icc_profile=profile))
    np.testing.assert_allclose(picture.pixels[0, 0], (0, 255, 0), atol=4)
    assert picture.metadata.icc is None
    assert "CMYK" in picture.metadata.notes[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (make.save(Image.new("LAB", make.SIZE), "TIFF"), "LAB"),
        (make.tiff(GRAY16.astype(np.uint32)), "32-bit unsigned"),
        (make.tiff(GRAY16.view(np.int16)), "16-bit signed"),
        (make.tiff(GRAYF.astype(np.float64)), "64-bit floating-point"),
        (make.tiff(RGBA16, extra=1), "premultiplied"),
        (make.tiff(RGBA16, photometric=5), "neither RGB nor gray"),
        (make.tiff(np.full_like(GRAYF, np.nan)), "NaN"),
        (make.tiff(np.full_like(GRAYF, np.inf)), "infinite"),
        (make.save(GRAY16, "JPEG2000"), "16 bits"),
        (make.save(GRAY16, "JPEG2000", no_jp2=True), "16 bits"),
        (make.with_opencv(GRAY16, ".pgm").replace(b"65535", b"16383"), "16383"),
    ],
)
def test_other_kinds_of_pixels_are_refused_in_a_sentence(data, reason):
    with pytest.raises(ImageError, match=reason):
        read(data)


def test_floats_outside_the_range_are_clipped_and_said():
    data = make.tiff(GRAYF * 3 - 1)
    with pytest.raises(ImageError, match=r"from -0\.\d+ to 1\.\d+, outside 0\.\.1"):
        read(data)
    picture = read_picture(BytesIO(data), float_range=1)
    np.testing.assert_array_equal(picture.pixels[..., 0], (GRAYF * 3 - 1).clip(0, 1))
    assert "clipped" in picture.metadata.notes[0]


@pytest.mark.skipif(
    "avif" not in writable_formats() or not cv2.haveImageWriter("a.avif"), reason="needs AVIF"
)
def test_depth_that_pillow_cannot_give_is_said():
    assert not read(make.save(make.smooth(), "AVIF")).metadata.notes
    deep = make.with_opencv(RGB16 >> 6, ".avif", cv2.IMWRITE_AVIF_DEPTH, 10)
    assert "10 bits" in read(deep).metadata.notes[0]


def test_extra_channel_without_a_meaning_is_not_dropped_in_silence():
    picture = read(make.tiff(RGBA8, extra=0))
    np.testing.assert_array_equal(picture.pixels, RGBA8[..., :3])
    assert "channel" in picture.metadata.notes[0]


# Reading: frames, damage, names


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_are_refused(format):
    frames = [Image.fromarray(make.random_array(3, seed=n)) for n in range(3)]
    data = make.save(frames[0], format, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="3 (frames|pages)"):
        read(data)


def test_reduced_copy_in_a_tiff_is_no_second_page():
    data = make.tiff(RGB16, pages=2, subfile=1)
    np.testing.assert_array_equal(read(data).pixels, RGB16)


def test_mpo_of_a_phone_is_its_first_jpeg():
    frames = [Image.fromarray(make.smooth()), Image.new("RGB", make.SIZE)]
    data = make.save(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)
    picture = read(data)
    assert picture.metadata.format == "JPEG"
    np.testing.assert_allclose(picture.pixels, make.smooth(), atol=20)


CUT = {
    "jpeg": make.save(make.random_array(3, size=(64, 64)), "JPEG"),
    "jpeg progressive": make.save(make.random_array(3, size=(64, 64)), "JPEG", progressive=True),
    "png": make.png(RGB8),
    "png 16": make.png(RGB16),
    "tiff": make.save(RGB8, "TIFF", compression="tiff_lzw"),
    "tiff 16": make.tiff(RGB16, deflate=True),
    "tiff 16 lzw": make.with_opencv(RGB16, ".tiff", *LZW),
    "webp": make.save(RGB8, "WEBP"),
    "bmp": make.save(RGB8, "BMP"),
    "ppm": make.save(RGB8, "PPM"),
    "ppm 16": make.with_opencv(RGB16, ".ppm"),
    "tga": make.save(RGB8, "TGA"),
    "gif": PALETTE_GIF,
    "jpeg 2000": make.save(RGB8, "JPEG2000"),
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.97, 0.999])
def test_cut_off_file_is_an_error_or_still_the_whole_picture(name, share):
    data = CUT[name]
    expected = read(data).pixels
    try:
        picture = read(data[: int(len(data) * share)])
    except ImageError as error:
        assert "\n" not in error.message
    else:
        # Allowed only when what is missing holds no pixels (an end mark, a trailer).
        np.testing.assert_array_equal(picture.pixels, expected)
        assert share > 0.95


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(CUT)), st.data())
def test_damaged_bytes_raise_nothing_but_image_errors(name, data):
    damaged = bytearray(CUT[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(damaged), 400) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(DrcnetError):
            read(bytes(damaged))


def test_damaged_pixels_of_a_png_are_noticed():
    data = bytearray(make.png(RGB16))
    data[300] ^= 0xFF
    with pytest.raises(ImageError, match="IDAT"):
        read(bytes(data))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is a text\n" * 50, "not a picture"),
        (b"<!DOCTYPE html><title>404</title>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"\x00\x05\x16\x07" + bytes(100), "not a picture"),
    ],
)
def test_what_is_no_picture_is_named_in_one_sentence(tmp_path, content, reason):
    path = tmp_path / "über die Straße.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_picture(path)
    assert str(path) in caught.value.message
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(ImageError, match="folder"):
        read_picture(tmp_path)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs permissions")
def test_unreadable_file_is_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(make.png(RGB8))
    path.chmod(0)
    with pytest.raises(ImageError, match="may not be read"):
        read_picture(path)


def test_the_content_decides_and_not_the_name(tmp_path):
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(make.png(RGB16))
    assert read_picture(path).metadata.format == "PNG"


@pytest.mark.parametrize("kind", ["png", "png 16", "tiff", "tiff 16", "bmp", "webp"])
def test_declared_size_is_refused_before_decoding(kind):
    side = 60_000
    huge = {
        "png": lambda: _png_of(side, 8),
        "png 16": lambda: _png_of(side, 16),
        "tiff": lambda: make.tiff(RGB8, tags=[(256, 4, [side]), (257, 4, [side])]),
        "tiff 16": lambda: make.tiff(RGB16, tags=[(256, 4, [side]), (257, 4, [side])]),
        "bmp": lambda: make.save(RGB8, "BMP").replace(
            struct.pack("<II", *make.SIZE), struct.pack("<II", side, side)
        ),
        "webp": lambda: make.save(RGB8, "WEBP")[:20],
    }[kind]()
    with pytest.raises(ImageError) as caught:
        read(huge)
    if kind != "webp":
        assert "megapixels" in caught.value.message


def _png_of(side: int, depth: int) -> bytes:
    head = make.png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + make.png_chunk(b"IDAT", b"") + make.png_chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["png rgb", "tiff rgb lzw", "jpeg rgb", "webp lossless", "gif"])
def test_pillows_own_limit_neither_refuses_nor_changes(name, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(EXACT[name][0])
    assert Image.MAX_IMAGE_PIXELS == 10


def test_threads_read_at_once_and_leave_no_trace(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    errors = []

    def work(number: int) -> None:
        names = sorted(EXACT)
        for step in range(20):
            data, expected = EXACT[names[(number * 17 + step) % len(names)]]
            try:
                np.testing.assert_array_equal(whole(read(data)), expected)
            except (AssertionError, DrcnetError) as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert Image.MAX_IMAGE_PIXELS == 10


def test_streams_need_not_seek():
    class Pipe:
        def __init__(self, data=b""):
            self.data = data

        def read(self, size):
            piece, self.data = self.data[:size], self.data[size:]
            return piece

        def write(self, data):
            taken = bytes(data[:1000])  # a part only, as an unbuffered stream may
            self.data += taken
            return len(taken)

    for format in ("png", "tiff", "jpg", "webp"):
        out = Pipe()
        write_picture(Picture(RGB8), out, format=format)
        assert read_picture(Pipe(out.data)).pixels.shape == RGB8.shape


@pytest.mark.parametrize("array", [RGB8, GRAY16], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("planar", [False, True])
def test_a_tiff_with_rows_that_no_strip_holds_is_cut_off(array, planar):
    rows = len(array)
    for height in (rows + 1, 20 * rows):
        with pytest.raises(ImageError, match="damaged or cut off"):
            read(make.tiff(array, planar=planar, tags=[(257, 4, [height]), (278, 4, [rows])]))
    whole_picture = make.tiff(array, planar=planar, tags=[(278, 4, [2**32 - 1])])
    np.testing.assert_array_equal(whole(read(whole_picture)), array)


@pytest.mark.parametrize("name", ["png rgb", "png gray", "png rgba", "png palette", "png 4 bits"])
def test_a_png_whose_stream_ends_before_its_last_row_is_cut_off(name):
    data = bytearray(EXACT[name][0])
    struct.pack_into(">I", data, 20, make.SIZE[1] + 1)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    with pytest.raises(ImageError, match="ends before its pixels do"):
        read(bytes(data))


@pytest.mark.parametrize("side", [1, 5, 3000])
def test_a_black_png_is_not_cut_off(side):
    black = np.zeros((side, side), np.uint8)
    assert not whole(read(make.png(black))).any()
    assert not whole(read(make.png(black, interlaced=True))).any()


# Reading: small files that ask for much


def test_tiff_fields_that_overlap_are_not_copied():
    size, count = 2**16, 4000  # 250 MB if each were
    entries = [struct.pack("<HHII", 30_000 + n, 1, size, 8) for n in range(count)]
    data = b"II*\0" + struct.pack("<I", 8 + size) + bytes(size)
    data += struct.pack("<H", count) + b"".join(entries) + bytes(4)
    tracemalloc.start()
    with pytest.raises(ImageError, match="larger than the file"):
        read(data)
    assert tracemalloc.get_traced_memory()[1] < 10 * len(data)
    tracemalloc.stop()


def test_one_profile_and_one_text_of_a_png_are_unpacked(monkeypatch):
    unpacked = []
    inflate = png._inflate
    monkeypatch.setattr(png, "_inflate", lambda data: (unpacked.append(1), inflate(data))[1])
    packed = zlib.compress(b"x" * 10**6)
    kinds = (
        (b"iCCP", b"x\0\0"),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0"),
        (b"zTXt", b"Raw profile type exif\0\0"),
    )
    chunks = [make.png_chunk(kind, head + packed) for kind, head in kinds for _ in range(5)]
    read(make.png(RGB16, *chunks))
    assert len(unpacked) == 3


@pytest.mark.parametrize("array", [RGB8, RGB16], ids=["8 bits", "16 bits"])
def test_a_profile_of_more_than_a_megabyte_is_kept(array):
    profile = make.SRGB + np.random.default_rng(0).bytes(2**21)  # Pillow refuses the picture
    data = make.png(array, make.png_chunk(b"iCCP", b"x\0\0" + zlib.compress(profile)))
    picture = read(data)
    np.testing.assert_array_equal(picture.pixels, array)
    assert picture.metadata.icc == profile


def test_what_does_not_fit_the_memory_is_not_called_damaged(monkeypatch):
    error = cv2.error("no memory")
    error.code = cv2.Error.StsNoMem

    def refuse(*_):
        raise error

    monkeypatch.setattr(cv2, "imdecode", refuse)
    with pytest.raises(ImageError, match="too large for this machine's memory"):
        read(make.png(RGB16))


def test_a_stream_without_an_end_is_left(monkeypatch):
    class Endless:
        def read(self, size):
            return bytes(size)

    monkeypatch.setattr("drcnet_cli.imageio.read._MAX_BYTES", 2**26)
    with pytest.raises(ImageError, match="standard input gives over"):
        read_picture(Endless())


def test_a_message_never_quotes_what_a_terminal_obeys():
    data = bytearray(make.png(RGB8))
    data[12:16] = b"I\x1b[2"
    with pytest.raises(ImageError) as caught:
        read(bytes(data))
    assert caught.value.message.isprintable()
