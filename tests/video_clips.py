"""Short videos made by PyAV for the tests: a moving pattern, with what a test needs beside it."""

from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av", reason="needs drcnet[video]")

WIDTH, HEIGHT = 64, 48
TIME_BASE = Fraction(1, 600)
EVEN, UNEVEN = (24,) * 12, (24, 48, 17, 96, 24, 3, 120, 24, 24, 60, 12, 24)  # of 600 a second
SUBTITLES = (b"One", b"Two")


def pattern(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Make a picture: H x W x 3 uint8, its top left quarter bright."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [100 + 50 * np.sin((x + 2 * number) / 9 + k) + 20 * np.cos(y / 7) for k in range(3)]
    image = np.stack(waves, axis=2)
    image[: height // 2, : width // 2] += 60
    return image.clip(0, 255).astype(np.uint8)


def make_clip(
    path,
    *,
    steps=EVEN,
    format="yuv420p",
    codec="libx264",
    size=(WIDTH, HEIGHT),
    audio=False,
    subtitles=None,
    planes=None,
    setup=lambda container, video: None,
    options=None,
    muxing=None,
):
    """Write a video; `planes`: the numbers of every frame, instead of the pattern.

    `setup` gets the container and its video stream before anything is encoded.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", container_options=muxing or {}) as container:
        video = container.add_stream(codec, rate=25, options=options or {"crf": "1"})
        video.width, video.height, video.pix_fmt = *size, format
        video.time_base = video.codec_context.time_base = TIME_BASE
        sound = _add_sound(container) if audio else None
        words = _add_subtitles(container, subtitles) if subtitles else None
        setup(container, video)
        stamp = 0
        for number, step in enumerate(steps):
            frame = _frame(number, format, size, planes)
            frame.pts, frame.time_base, frame.duration = stamp, TIME_BASE, step
            container.mux(video.encode(frame))
            stamp += step
        container.mux(video.encode(None))
        if sound:
            _play(container, sound, stamp * TIME_BASE)
        for number, text in enumerate(SUBTITLES if words else ()):
            _show(container, words, subtitles, text, number)
    return path


def _frame(number, format, size, planes):
    if planes is None:
        image = pattern(number, size[1], size[0])
        return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=format)
    frame = av.VideoFrame(*size, format)
    for plane, value in zip(frame.planes, planes, strict=True):
        kind = np.uint8 if plane.line_size < 2 * plane.width else np.uint16
        np.frombuffer(plane, kind)[:] = value
    return frame


def _add_sound(container):
    sound = container.add_stream("aac", rate=48000, layout="mono")
    sound.metadata["language"] = "fra"
    return sound


def _play(container, sound, seconds):
    wave = (0.2 * np.sin(np.arange(int(48000 * seconds)) / 20)).astype(np.float32)[None]
    for start in range(0, wave.shape[1], 1024):
        part = np.ascontiguousarray(wave[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(sound.encode(frame))
    container.mux(sound.encode(None))


def _add_subtitles(container, codec):
    words = container.add_mux_stream(codec)
    words.time_base = Fraction(1, 1000)
    words.metadata["language"] = "deu"
    words.disposition = av.stream.Disposition.forced
    return words


def _show(container, words, codec, text, number):
    packet = av.Packet(len(text).to_bytes(2, "big") + text if codec == "mov_text" else text)
    packet.stream, packet.time_base = words, Fraction(1, 1000)
    packet.pts = packet.dts = 200 * number
    packet.duration = 150
    container.mux(packet)


@contextmanager
def opened(path):
    with av.open(str(path)) as container:
        yield container


def frames_of(path):
    with opened(path) as container:
        return list(container.decode(video=0))


def stamps_of(path):
    """Return when frames are shown, in seconds, and how long the last one is."""
    frames = frames_of(path)
    return [frame.pts * frame.time_base for frame in frames], frames[-1].duration


def packets_of(path, kind):
    """Return the packets of the first stream of a kind: time stamps in seconds, and contents.

    Without the empty ones by which an MP4's writer ends each subtitle.
    """
    with opened(path) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        packets = [packet for packet in container.demux(stream) if packet.size > 2]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets]
