"""Animations written: pixels, times, what formats cannot hold, one frame in memory at a time."""

import gc
import weakref
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
    few_colours,
    opened,
    rewritten,
    rgba,
    seen,
    times,
)
from image_cases import read
from PIL import Image

from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.imageio import Picture, Several, read_pictures, write_picture, writing_several

TIMES = [40, 110, 250, 70]
SIZE = (30, 20)


def holes(frame: np.ndarray, seed: int) -> np.ndarray:
    alpha = np.random.default_rng(seed).random(frame.shape[:2]) < 0.3
    return np.dstack((frame, np.where(alpha, 0, 255).astype(np.uint8)))


@pytest.mark.parametrize("target", ["gif", "webp", "png"])
@pytest.mark.parametrize("source", LOSSLESS)
@pytest.mark.parametrize("has_holes", [False, True], ids=["opaque", "holes"])
def test_frames_durations_and_loops_stay(source, target, has_holes):
    frames = [few_colours(seed) for seed in range(4)]
    if has_holes:
        frames = [holes(frame, seed) for seed, frame in enumerate(frames)]
    clear = {"GIF": {"disposal": 2}, "PNG": {"disposal": 1}} if has_holes else {}
    data = animation(source, frames, duration=TIMES, loop=3, **clear.get(source, {}))
    made, notes = rewritten(data, target)
    assert notes == []
    assert times(made) == TIMES
    for frame, shown in zip(frames, by_pillow(made), strict=True):
        whole = frame if has_holes else np.dstack((frame, np.full(frame.shape[:2], 255, np.uint8)))
        np.testing.assert_array_equal(shown, seen(whole))
    # GIF tells how often it is played again, the others how often it is played.
    plays = {"GIF": 1}.get(source, 0) - {"gif": 1}.get(target, 0) + 3
    assert Image.open(BytesIO(made)).info["loop"] == plays


def test_a_gif_that_is_played_once_says_nothing_of_loops():
    data = animation("GIF", [few_colours(0), few_colours(1)])
    assert "loop" not in Image.open(BytesIO(data)).info
    assert "loop" not in Image.open(BytesIO(rewritten(data, "gif")[0])).info
    assert Image.open(BytesIO(rewritten(data, "png")[0])).info["loop"] == 1


def test_a_frame_again_stays_a_frame():
    frames = [few_colours(0), few_colours(1)]
    data = apng(SIZE, [(frames[n], 0, 0, 0, 0) for n in (0, 0, 1, 1)])
    for target in ("gif", "webp", "png"):
        shown = by_pillow(rewritten(data, target)[0])
        assert len(shown) == 4
        np.testing.assert_array_equal([frame[..., :3] for frame in shown[::2]], frames)


def test_only_what_changes_is_written():
    frames = [few_colours(0, (200, 200))] * 2
    frames = [frames[0], frames[1].copy()]
    frames[1][31:40, 21:35] = 7
    data = apng((200, 200), [(frame, 0, 0, 0, 0) for frame in frames])
    for target in ("gif", "webp", "png"):
        made, _ = rewritten(data, target)
        np.testing.assert_array_equal(by_pillow(made)[1][..., :3], frames[1])
        alone = rewritten(apng((200, 200), [(frames[0], 0, 0, 0, 0)] * 2), target)[0]
        assert len(made) < len(alone) * 1.05


def test_holes_that_come_and_go_in_a_gif():
    solid, other = few_colours(0), few_colours(1)
    full = [np.dstack((f, np.full(f.shape[:2], 255, np.uint8))) for f in (solid, other)]
    frames = [full[0], holes(other, 1), holes(solid, 2), full[1], full[0], holes(solid, 3)]
    data = apng(SIZE, [(frame, 0, 0, 0, 0) for frame in frames])
    made, _ = rewritten(data, "gif")
    found = [rgba(picture) for picture, _ in opened(made)]
    np.testing.assert_array_equal(found, [seen(frame) for frame in frames])


def test_odd_durations_are_rounded_so_that_the_sum_stays():
    frame, several = few_colours(0), opened(animation("PNG", [few_colours(0), few_colours(1)]))
    buffer = BytesIO()
    with writing_several(several, buffer, format="gif") as writer:
        for _ in range(9):
            writer.add(Picture(frame), Fraction(1, 30))
    assert sum(times(buffer.getvalue())) == 300
    assert "hundredths" in writer.notes[0]


def test_durations_of_a_png_are_exact():
    data = apng(SIZE, [(few_colours(n), 0, 0, 0, 0) for n in range(2)])
    data = data.replace(b"\0\1\0\x14", b"\0\1\0\x1e")  # 1/30; checksums of fcTL are not verified
    several = opened(data)
    assert several.seconds[0] == Fraction(1, 30)
    assert opened(rewritten(data, "png")[0]).seconds[0] == Fraction(1, 30)


def test_what_a_gif_cannot_hold_is_said():
    frames = [make.random_array(4, np.uint16, SIZE, seed) for seed in range(2)]
    data = apng(SIZE, [(frame, 0, 0, 0, 0) for frame in frames])
    made, notes = rewritten(data, "gif")
    said = "; ".join(notes)
    for word in ("16-bit reduced to 8-bit", "256", "partial transparency"):
        assert said.count(word) == 1
    assert len(by_pillow(made)) == 2
    same, notes = rewritten(data, "png")
    assert notes == []
    np.testing.assert_array_equal(
        [picture.pixels for picture, _ in opened(same)], [frame[..., :3] for frame in frames]
    )


def test_a_still_gif_has_the_colours_it_can():
    few = few_colours(0, (40, 40))
    buffer = BytesIO()
    assert write_picture(Picture(few), buffer, format="gif") == []
    np.testing.assert_array_equal(read(buffer.getvalue()).pixels, few)
    photo = np.asarray(Image.fromarray(make.smooth((64, 48))))
    buffer = BytesIO()
    notes = write_picture(Picture(photo), buffer, format="gif")
    assert "256" in notes[0]
    error = read(buffer.getvalue()).pixels.astype(float) - photo
    assert np.sqrt((error**2).mean()) < 6
    assert not getattr(Image.open(buffer), "is_animated", False)


@pytest.mark.parametrize("format", LOSSLESS)
def test_metadata_stays(format):
    exif = Image.Exif()
    exif[0x010E] = "a scene"
    more = {} if format == "GIF" else {"exif": exif, "icc_profile": make.SRGB}
    if format == "WEBP":
        more["xmp"] = make.XMP
    frames = [few_colours(0), few_colours(1)]
    first = next(iter(opened(animation(format, frames, **more))))[0].metadata
    target = format.lower()
    again = next(iter(opened(rewritten(animation(format, frames, **more), target)[0])))[0].metadata
    assert (first.exif, first.icc, first.xmp) == (again.exif, again.icc, again.xmp)
    assert format == "GIF" or (again.icc == make.SRGB and b"a scene" in (again.exif or b""))
    bare, _ = rewritten(animation(format, frames, **more), target, strip_metadata=True)
    assert next(iter(opened(bare)))[0].metadata.exif is None


def test_a_gif_keeps_comment_xmp_and_profile():
    frames = [few_colours(0), few_colours(1)]
    data = animation("GIF", frames, comment=b"hello " * 90)
    several, buffer = opened(data), BytesIO()
    with writing_several(several, buffer, format="gif") as writer:
        for picture, seconds in several:
            assert picture.metadata.comment == b"hello " * 90
            metadata = {**vars(picture.metadata), "xmp": make.XMP, "icc": make.SRGB}
            picture.metadata = type(picture.metadata)(**metadata)
            writer.add(picture, seconds)
    kept = next(iter(opened(buffer.getvalue())))[0].metadata
    assert (kept.comment, kept.xmp, kept.icc) == (b"hello " * 90, make.XMP, make.SRGB)
    assert len(by_pillow(buffer.getvalue())) == 2


@pytest.mark.parametrize(("name", "hint"), [("a.jpg", "gif, webp or png"), ("a.avif", "--pages 1")])
def test_a_format_of_one_picture_is_refused(name, hint, tmp_path):
    several = opened(animation("GIF", [few_colours(0), few_colours(1)]))
    with (
        pytest.raises(ImageError, match="2 frames, and .* holds one picture") as caught,
        writing_several(several, tmp_path / name),
    ):
        pass
    assert hint in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_nothing_and_an_old_file_as_it_was(tmp_path):
    several = opened(animation("GIF", [few_colours(0), few_colours(1)]))
    path = tmp_path / "a.webp"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), writing_several(several, path) as writer:
        writer.add(Picture(few_colours(0)), Fraction(1))
        raise KeyError
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.webp"]
    with pytest.raises(UsageError, match="--quality"), writing_several(several, path, quality=0):
        pass


@pytest.mark.parametrize("target", ["gif", "webp", "png", "tiff"])
def test_few_frames_are_in_memory_at_a_time(target, tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(animation("GIF", [few_colours(seed) for seed in range(30)]))
    several, alive, most = read_pictures(path), [], 0
    assert isinstance(several, Several)
    with writing_several(several, BytesIO(), format=target) as writer:
        for picture, seconds in several:
            alive.append(weakref.ref(picture.pixels))
            writer.add(picture, seconds)
            del picture
            gc.collect()
            most = max(most, sum(each() is not None for each in alive))
    several.close()
    assert most <= 3
