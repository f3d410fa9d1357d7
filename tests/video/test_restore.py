"""Videos restored in this process: what of a file is kept, and what is said of the rest."""

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import video_clips as clips
from video_clips import av, make_clip, opened

from drcnet_cli.errors import NonFiniteError
from drcnet_cli.files.addresses import Address
from drcnet_cli.files.plan import Job
from drcnet_cli.progress import no_progress
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.restore.outcome import RunObserver, WriteOptions
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.video.restore import restore_videos

COVER = av.stream.Disposition.attached_pic
BT709_FULL = {"color_range": 2, "color_primaries": 1, "color_trc": 1, "colorspace": 1}


@pytest.fixture
def restore(tiny_weights):
    """Return a function that restores one video and gives its outcome."""

    def run(source, destination, strength=0.0, crf=1, told=None, **options):
        config = RestoreConfig(tiny_weights, device="cpu", strength=strength)

        def follow(_):
            return lambda done, total: None if told is None else told.append((done, total))

        (outcome,) = restore_videos(
            [Job(source, destination)], config, WriteOptions(**options), RunObserver(), follow, crf
        )
        assert not list(destination.parent.glob(".*.tmp"))
        assert destination.exists() == (outcome.error is None)
        return outcome

    return run


@pytest.fixture
def seen(monkeypatch):
    """Return the list of pictures that the network gets to see, which it leaves as they are."""
    pictures = []

    def look(self, pixels, on_progress=None):
        pictures.append(pixels)
        return pixels.copy()

    monkeypatch.setattr(Restorer, "restore", look)
    return pictures


def difference(first, second, format="rgb24"):
    """Return the largest mean difference of two videos' frames, in steps of 255."""
    pairs = zip(clips.frames_of(first), clips.frames_of(second), strict=True)
    arrays = [[frame.to_ndarray(format=format).astype(float) for frame in pair] for pair in pairs]
    return max(abs(a - b).mean() for a, b in arrays)


def _plain(frame):
    """Return the name of a frame's format, of whichever range it is."""
    return frame.format.name.replace("yuvj", "yuv")


# Time and other streams


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
@pytest.mark.parametrize("steps", [clips.EVEN, clips.UNEVEN])
def test_each_frame_keeps_its_time(restore, tmp_path, name, steps):
    source = make_clip(tmp_path / name, steps=steps)
    told = []
    outcome = restore(source, tmp_path / "out" / name, told=told)
    assert outcome.error is None and outcome.notes == ()
    assert clips.stamps_of(source) == clips.stamps_of(tmp_path / "out" / name)
    assert difference(source, tmp_path / "out" / name) < 1
    assert outcome.record()["frames"] == 12
    assert told[-1] == (12, 12)


@pytest.mark.parametrize(("name", "subtitles"), [("a.mp4", "mov_text"), ("a.mkv", "subrip")])
def test_sound_and_subtitles_are_copied_with_all_that_is_said_of_them(
    restore, tmp_path, name, subtitles
):
    def setup(container, video):
        container.metadata["title"] = "A title"
        container.metadata["creation_time"] = "2024-05-06T07:08:09.000000Z"
        times = {"time_base": Fraction(1, 1000)}
        chapters = [(0, 200, "One"), (200, 400, "Two")]
        container.set_chapters(
            [
                {"id": n, "start": start, "end": end, "metadata": {"title": title}, **times}
                for n, (start, end, title) in enumerate(chapters)
            ]
        )

    source = make_clip(tmp_path / name, audio=True, subtitles=subtitles, setup=setup)
    outcome = restore(source, tmp_path / "out" / name)
    assert outcome.error is None and outcome.notes == ()
    for kind in ("audio", "subtitle"):
        assert clips.packets_of(source, kind) == clips.packets_of(tmp_path / "out" / name, kind)
    with opened(source) as before, opened(tmp_path / "out" / name) as after:
        pairs = list(zip(before.streams, after.streams, strict=True))
        assert len(pairs) >= 3
        for old, new in pairs:
            assert (new.type, new.language) == (old.type, old.language)
            assert new.disposition == old.disposition
        assert after.metadata["title"] == "A title"
        assert after.metadata["creation_time"] == before.metadata["creation_time"]
        assert [chapter["metadata"]["title"] for chapter in after.chapters()] == ["One", "Two"]


def test_what_a_container_cannot_hold_is_said(restore, tmp_path):
    source = make_clip(tmp_path / "a.mkv", audio=True, subtitles="subrip")
    outcome = restore(source, tmp_path / "a.mp4")
    assert outcome.error is None
    assert outcome.notes == ("left out, as MP4 cannot hold it: subtitle (srt, deu)",)
    with opened(tmp_path / "a.mp4") as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_attachments_are_kept(restore, tmp_path):
    def setup(container, video):
        container.add_attachment("type.ttf", "font/ttf", b"letters")

    source = make_clip(tmp_path / "a.mkv", setup=setup)
    assert restore(source, tmp_path / "b.mkv").notes == ()
    with opened(tmp_path / "b.mkv") as container:
        (font,) = (stream for stream in container.streams if stream.type == "attachment")
        assert (font.name, font.mimetype, font.data) == ("type.ttf", "font/ttf", b"letters")


def test_a_time_code_and_a_phones_own_tags_are_kept(restore, tmp_path):
    tags = {"com.apple.quicktime.make": "A maker", "title": "A title"}

    def setup(container, video):
        video.metadata["timecode"] = "01:02:03:04"
        container.metadata.update(tags)

    muxing = {"movflags": "use_metadata_tags"}
    source = make_clip(tmp_path / "a.mov", setup=setup, muxing=muxing)
    assert restore(source, tmp_path / "b.mov").notes == ()
    with opened(tmp_path / "b.mov") as container:
        assert {key: container.metadata.get(key) for key in tags} == tags
        assert container.streams.video[0].metadata["timecode"] == "01:02:03:04"
        assert [stream.type for stream in container.streams] == ["video", "data"]


def test_metadata_is_left_out_where_that_is_wanted(restore, tmp_path):
    def setup(container, video):
        container.metadata["title"] = "A title"

    source = make_clip(tmp_path / "a.mp4", audio=True, setup=setup)
    restore(source, tmp_path / "b.mp4", strip_metadata=True)
    with opened(tmp_path / "b.mp4") as container:
        assert "title" not in container.metadata
        assert container.streams.audio[0].language == "fra"


# Pixels


@pytest.mark.parametrize(
    ("format", "tags", "numbers"),
    [
        ("yuv420p", {"colorspace": 1, "color_range": 1}, (63, 102, 240)),
        ("yuv420p", {"colorspace": 6, "color_range": 1}, (81, 90, 240)),
        ("yuv420p", BT709_FULL, (54, 99, 255)),
        ("yuv420p10le", {"colorspace": 9, "color_range": 1, "color_primaries": 9}, (294, 387, 960)),
        ("yuv422p10le", {"colorspace": 1, "color_range": 1}, (250, 409, 960)),
        ("yuv444p", {"colorspace": 1, "color_range": 1}, (63, 102, 240)),
    ],
)
def test_colour_tags_are_kept_and_used(restore, seen, tmp_path, format, tags, numbers):
    def setup(container, video):
        for name, value in tags.items():
            setattr(video.codec_context, name, value)

    source = make_clip(tmp_path / "a.mp4", format=format, planes=numbers, setup=setup)
    outcome = restore(source, tmp_path / "b.mp4", strength=1)
    assert outcome.error is None and outcome.notes == ()
    # The network saw pure red, and that comes back within two steps.
    assert np.abs(seen[0] - [1, 0, 0]).max() < 2 / 219
    (before, after) = (clips.frames_of(path)[0] for path in (source, tmp_path / "b.mp4"))
    assert after.format.name == before.format.name
    assert _plain(after) == format
    for old, new in zip(before.planes, after.planes, strict=True):
        kind = np.uint16 if "10" in format else np.uint8
        numbers = [np.frombuffer(p, kind)[: p.width].astype(int) for p in (old, new)]
        assert np.abs(numbers[0] - numbers[1]).max() <= 2
    with opened(tmp_path / "b.mp4") as container:
        context = container.streams.video[0].codec_context
        assert {name: getattr(context, name) for name in tags} == tags


def test_a_turned_video_is_seen_upright_and_stays_turned(restore, seen, tmp_path):
    for number, (degrees, flip) in enumerate([(90, False), (-90, False), (180, False), (0, True)]):
        seen.clear()
        source = make_clip(
            tmp_path / f"{number}.mov",
            setup=lambda _, video, d=degrees, f=flip: video.set_display_rotation(d, hflip=f),
        )
        result = tmp_path / "out" / source.name
        assert restore(source, result, strength=1).error is None
        upright = np.rot90(clips.pattern(0), degrees // 90)
        upright = upright[:, ::-1] if flip else upright
        assert np.abs(255 * seen[0] - upright).mean() < 3
        matrices = [
            bytes(clips.frames_of(path)[0].side_data["DISPLAYMATRIX"]) for path in (source, result)
        ]
        assert matrices[0] == matrices[1]
        assert difference(source, result) < 1


def test_the_shape_of_pixels_is_kept(restore, tmp_path):
    def setup(container, video):
        video.codec_context.sample_aspect_ratio = Fraction(64, 45)

    source = make_clip(tmp_path / "a.mp4", setup=setup)
    restore(source, tmp_path / "b.mp4")
    with opened(tmp_path / "b.mp4") as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


def test_fields_are_restored_one_by_one_and_stay_fields(restore, seen, tmp_path):
    source = make_clip(tmp_path / "a.mkv", options={"crf": "1", "x264-params": "tff=1"})
    outcome = restore(source, tmp_path / "b.mkv", strength=1)
    assert outcome.error is None
    assert "each field was restored by itself" in outcome.notes[0]
    assert {picture.shape for picture in seen} == {(clips.HEIGHT // 2, clips.WIDTH, 3)}
    assert len(seen) == 24
    assert clips.frames_of(tmp_path / "b.mkv")[0].interlaced_frame
    assert difference(source, tmp_path / "b.mkv") < 1.5


def test_the_network_restores_every_frame(restore, tmp_path, monkeypatch):
    monkeypatch.setattr(Restorer, "restore", lambda self, pixels, _=None: np.full_like(pixels, 0.5))
    source = make_clip(tmp_path / "a.mp4")
    restore(source, tmp_path / "b.mp4", strength=1)
    for frame in clips.frames_of(tmp_path / "b.mp4"):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - 128).max() <= 2


@pytest.mark.parametrize(
    ("name", "codec", "format", "size", "kept"),
    [
        ("a.avi", "mpeg4", "yuv420p", (64, 48), "yuv420p"),
        ("a.avi", "mjpeg", "yuvj422p", (64, 48), "yuv422p"),
        ("a.mkv", "ffv1", "gray", (64, 48), "yuv420p"),
        ("a.mkv", "ffv1", "bgr0", (64, 48), "yuv444p"),
        ("a.mkv", "ffv1", "gbrp10le", (64, 48), "yuv444p10le"),
        ("a.avi", "rawvideo", "uyvy422", (64, 48), "yuv422p"),
        ("a.mkv", "ffv1", "yuv420p", (63, 47), "yuv444p"),
        ("a.mov", "prores_ks", "yuv422p10le", (64, 48), "yuv422p10le"),
    ],
)
def test_what_other_codecs_give_is_encoded_with_nothing_lost(
    restore, tmp_path, name, codec, format, size, kept
):
    source = make_clip(tmp_path / name, codec=codec, format=format, size=size, options={"n": "1"})
    outcome = restore(source, tmp_path / "b.mkv", crf=0)
    assert outcome.error is None and outcome.notes == ()
    assert _plain(clips.frames_of(tmp_path / "b.mkv")[0]) == kept
    assert difference(source, tmp_path / "b.mkv") < 2


def test_hlg_stays_hlg(restore, tmp_path):
    def setup(container, video):
        context = video.codec_context
        context.color_trc, context.color_primaries, context.colorspace = 18, 9, 9

    source = make_clip(tmp_path / "a.mov", format="yuv420p10le", setup=setup)
    outcome = restore(source, tmp_path / "b.mov")
    assert outcome.notes == ("HDR (HLG) restored as it is coded",)
    with opened(tmp_path / "b.mov") as container:
        context = container.streams.video[0].codec_context
        assert (context.color_trc, context.color_primaries, context.colorspace) == (18, 9, 9)


def test_transparency_is_said_to_be_lost(restore, tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", format="yuva420p", options={"n": "1"})
    assert restore(source, tmp_path / "b.mkv").notes == ("transparency left out",)


def test_crf_decides_on_the_size(restore, tmp_path):
    source = make_clip(tmp_path / "a.mp4")
    sizes = []
    for crf in (5, 40):
        restore(source, tmp_path / f"{crf}.mp4", crf=crf)
        sizes.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert sizes[1] < 0.8 * sizes[0]


# Refused, or damaged


def test_pq_is_refused(restore, tmp_path):
    def setup(container, video):
        video.codec_context.color_trc = 16
        video.codec_context.color_primaries = video.codec_context.colorspace = 9

    source = make_clip(tmp_path / "a.mp4", format="yuv420p10le", setup=setup)
    error = restore(source, tmp_path / "b.mp4").error
    assert error is not None
    assert f"{source} is an HDR video (PQ), which is not restored" in error.message


def test_a_frame_that_cannot_be_restored_is_named(restore, tmp_path, monkeypatch):
    seen = []

    def fail(self, pixels, on_progress=None):
        seen.append(pixels)
        if len(seen) == 3:
            raise NonFiniteError("The network gave no picture.")
        return pixels

    monkeypatch.setattr(Restorer, "restore", fail)
    source = make_clip(tmp_path / "a.mp4")
    error = restore(source, tmp_path / "b.mp4", strength=1).error
    assert error is not None
    assert error.message == f"{source}, frame 3: The network gave no picture."


def damaged(path: Path, kind: str) -> Path:
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    if kind == "cut":
        del data[middle:]
    elif kind == "changed":
        data[middle : middle + 400] = bytes(byte ^ 0x5A for byte in data[middle : middle + 400])
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["cut", "changed"])
def test_a_damaged_video_is_named_with_the_frame(restore, tmp_path, kind):
    make_clip(tmp_path / "whole.mp4", steps=(24,) * 40)
    with opened(tmp_path / "whole.mp4") as whole:  # its index first, so that a part is read
        fast = {"movflags": "faststart"}
        with av.open(str(tmp_path / "a.mp4"), "w", container_options=fast) as container:
            video = container.add_stream_from_template(whole.streams.video[0], opaque=True)
            for packet in whole.demux():
                if packet.dts is not None:
                    packet.stream = video
                    container.mux(packet)
    source = damaged(tmp_path / "a.mp4", kind)
    error = restore(source, tmp_path / "b.mp4").error
    assert error is not None
    assert f"{source} is damaged or cut off behind frame" in error.message


def test_a_cut_matroska_file_is_known_by_its_length(restore, tmp_path):
    source = make_clip(tmp_path / "a.mkv", steps=(24,) * 50)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    error = restore(source, tmp_path / "b.mkv").error
    assert error is not None
    assert "of 2.0 seconds are there" in error.message


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"", "is empty"),
        (b"hello", "no video"),
        (b"<html><body>", "is a web page (HTML), not a video"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n", "no video"),  # nothing is fetched
        (struct.pack(">I4s", 32, b"ftypisom"[:4]) + bytes(24), "damaged"),
    ],
)
def test_what_is_no_video_is_told(restore, tmp_path, contents, said):
    (tmp_path / "a.mp4").write_bytes(contents)
    error = restore(tmp_path / "a.mp4", tmp_path / "b.mp4").error
    assert error is not None
    assert said in error.message


def test_sound_alone_is_no_video(restore, tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        clips._play(container, clips._add_sound(container), Fraction(1, 4))
    error = restore(tmp_path / "a.mp4", tmp_path / "b.mp4").error
    assert error is not None
    assert "has no moving picture" in error.message


def test_addresses_are_copied_here_and_back(tiny_weights, tmp_path, memory):
    source = make_clip(tmp_path / "a.mp4")
    memory.pipe("/in/a.mp4", source.read_bytes())
    job = Job(Address("memory://in/a.mp4"), Address("memory://out/b.mp4"))
    config = RestoreConfig(tiny_weights, device="cpu", strength=0)

    def follow(_):
        return no_progress

    (outcome,) = restore_videos([job], config, WriteOptions(), RunObserver(), follow, 1)
    assert outcome.error is None
    (tmp_path / "b.mp4").write_bytes(memory.cat("/out/b.mp4"))
    assert difference(source, tmp_path / "b.mp4") < 1
    memory.pipe("/in/a.mp4", b"hello")
    (outcome,) = restore_videos([job], config, WriteOptions(), RunObserver(), follow, 1)
    assert outcome.error is not None
    assert "memory://in/a.mp4 is damaged, cut off, or no video" in outcome.error.message


def test_a_cover_stays_with_its_film(restore, tmp_path):
    make_clip(tmp_path / "film.mp4")
    picture = make_clip(tmp_path / "cover.avi", codec="mjpeg", format="yuvj420p", steps=(24,))
    data = clips.packets_of(picture, "video")[0][1]
    with (
        opened(tmp_path / "film.mp4") as film,
        opened(picture) as cover,
        av.open(str(tmp_path / "a.mp4"), "w") as container,
    ):
        covers = container.add_stream_from_template(cover.streams.video[0], opaque=True)
        covers.disposition = COVER
        video = container.add_stream_from_template(film.streams.video[0], opaque=True)
        for packet in [*cover.demux(video=0), *film.demux(video=0)]:
            if packet.dts is not None:
                packet.stream = covers if packet.stream is cover.streams.video[0] else video
                container.mux(packet)
    assert restore(tmp_path / "a.mp4", tmp_path / "b.mp4").notes == ()
    with opened(tmp_path / "b.mp4") as container:
        (kept,) = (s for s in container.streams.video if s.disposition & COVER)
        assert bytes(next(container.demux(kept))) == data
    assert restore(tmp_path / "b.mp4", tmp_path / "c.mkv").notes == ()
    with opened(tmp_path / "c.mkv") as container:
        (kept,) = (s for s in container.streams if "filename" in s.metadata)
        assert kept.metadata["filename"] == "cover.jpg"


def test_a_second_picture_is_copied_which_is_said(restore, tmp_path):
    def setup(container, video):
        second = container.add_stream("mjpeg", rate=25)
        second.width, second.height, second.pix_fmt = 16, 16, "yuvj420p"
        frame = av.VideoFrame(16, 16, "yuvj420p")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux([*second.encode(frame), *second.encode(None)])

    source = make_clip(tmp_path / "a.mkv", setup=setup)
    notes = restore(source, tmp_path / "b.mkv").notes
    assert notes == ("another picture in the file was copied, not restored",)
    with opened(source) as before, opened(tmp_path / "b.mkv") as after:
        copies = [[bytes(p) for p in c.demux(video=1) if p.size] for c in (before, after)]
    assert copies[0] == copies[1] != []


@pytest.mark.parametrize(
    ("encoder", "format", "notes"),
    [
        ("libx265", "yuv422p", []),
        ("libsvtav1", "yuv420p", ["colour is stored for every second pixel only"]),
        ("libvpx-vp9", "yuv422p", []),
    ],
)
def test_without_x264_another_encoder_is_taken_and_said(
    restore, tmp_path, monkeypatch, encoder, format, notes
):
    if encoder not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {encoder}")
    source = make_clip(tmp_path / "a.mkv", format="yuv422p", size=(128, 96))
    monkeypatch.setattr(av, "codecs_available", {encoder})
    outcome = restore(source, tmp_path / "b.mkv", crf=5)
    assert outcome.error is None
    assert outcome.notes == (f"encoded by {encoder}: this FFmpeg has no libx264", *notes)
    assert clips.frames_of(tmp_path / "b.mkv")[0].format.name == format
    assert difference(source, tmp_path / "b.mkv") < 4


def test_odd_names_are_names(restore, tmp_path):
    source = make_clip(tmp_path / "concat:a|b?c %d.mp4")
    assert restore(source, tmp_path / "out" / "http:ü %d.mp4").error is None
