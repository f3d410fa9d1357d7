"""A video's file as it is written: one stream encoded, the others copied packet by packet."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

from drcnet_cli.errors import UsageError
from drcnet_cli.video.frames import Look, write_rgb
from drcnet_cli.video.library import Container, Frame, Packet, Stream, load_av
from drcnet_cli.video.source import Source, first_packet

# The first that this FFmpeg has; all know `crf`, though not by the same scale.
_ENCODERS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9")
_USUAL_RATE = Fraction(25)
# Of files, which the writer says itself, and of how a stream was coded, which is no longer so.
_OWN_KEYS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
_CODED_KEYS = ("bps", "number_of_", "_statistics", "duration", "encoder", "vendor_id")


@dataclass(frozen=True)
class Encoding:
    """How the picture is encoded: FFmpeg's name of the encoder and the pixel format, and its parts.

    `notes`: what of the input that loses.
    """

    encoder: str
    format: str
    bits: int
    chroma: str
    notes: tuple[str, ...]


def choose_encoding(look: Look) -> Encoding:
    """Choose what keeps most of a look; raises UsageError if this FFmpeg has no encoder."""
    av, notes = load_av(), list(look.notes)
    encoder = next((name for name in _ENCODERS if name in av.codecs_available), None)
    if encoder is None:
        raise UsageError(
            f"This FFmpeg has no encoder of {', '.join(_ENCODERS)}.",
            "pip install --force-reinstall 'drcnet[video]'",
        )
    if encoder != _ENCODERS[0]:
        notes.append(f"encoded by {encoder}: this FFmpeg has no {_ENCODERS[0]}")
    bits = 8 if look.bits == 8 else 10
    chroma = {(2, 2): "420", (2, 1): "422", (1, 1): "444"}[look.subsampling]
    if (look.width % look.subsampling[0]) or (look.height % look.subsampling[1]):
        chroma = "444"  # half a sample cannot be stored
    known = {format.name for format in av.codec.Codec(encoder, "w").video_formats or ()}
    if _pixel_format(chroma, bits) not in known:
        chroma = "420"
        notes.append("colour is stored for every second pixel only")
    if look.bits > bits:
        notes.append(f"{bits} bits, not {look.bits}: more are not encoded")
    return Encoding(encoder, _pixel_format(chroma, bits), bits, chroma, tuple(notes))


def _pixel_format(chroma: str, bits: int) -> str:
    return f"yuv{chroma}p" if bits == 8 else f"yuv{chroma}p{bits}le"


class Target:
    """An open output: takes restored frames, and packets of the other streams as they come.

    `notes`: what cannot be kept. Raises FFmpegError where it cannot be written.
    """

    def __init__(
        self,
        container: Container,
        source: Source,
        look: Look,
        crf: int,
        strip: bool,
    ) -> None:
        self._container = container
        self._source = source
        self._look = look
        self._encoding = choose_encoding(look)
        self.notes = list(self._encoding.notes)
        self._moved = 0
        self._last: int | None = None
        self._video = self._add_video(crf, strip)
        self._copies: dict[int, Stream] = {}
        left_out = [_describe(s) for s in source.others if not self._add_copy(s, strip)]
        if left_out:
            kind = container.format.long_name.partition("(")[0].strip()
            self.notes.append(f"left out, as {kind} cannot hold it: {', '.join(left_out)}")
        container.set_chapters(source.container.chapters())
        if not strip:
            kept = source.container.metadata.items()
            container.metadata.update({k: v for k, v in kept if k.lower() not in _OWN_KEYS})

    def write(self, frame: Frame, pictures: Sequence[Any]) -> None:
        """Encode a frame with what its pixels have become."""
        code = self._encoding
        made = write_rgb(frame, list(pictures), self._look, code.format, code.bits, code.chroma)
        made.pts, made.time_base = self._stamp(made), self._source.video.time_base
        self._container.mux(self._video.encode(made))

    def copy(self, packet: Packet) -> None:
        """Copy a packet of another stream, unless that is left out."""
        stream = self._copies.get(packet.stream.index)
        if stream is None or (packet.dts is None and not packet.size):  # the stream has ended
            return
        if packet.dts is None:  # as of a cover, which has no time at all
            packet.pts = packet.dts = packet.pts or 0
        packet.stream = stream
        self._container.mux(packet)

    def finish(self) -> None:
        """Encode what is still under way."""
        self._container.mux(self._video.encode(None))
        if self._moved:
            self.notes.append(f"{self._moved} time stamps that did not go forward were moved")

    def _stamp(self, frame: Frame) -> int:
        """Return a frame's time stamp, moved where it would not follow on the last one's."""
        stamp, last = frame.pts, self._last
        if stamp is None:
            step = 1 / ((self._source.video.average_rate or _USUAL_RATE) * frame.time_base)
            stamp = 0 if last is None else last + max(1, round(step))
        if last is not None and stamp <= last:
            stamp = last + 1
            self._moved += 1
        self._last = stamp
        return stamp

    def _add_video(self, crf: int, strip: bool) -> Stream:
        av, look, given = load_av(), self._look, self._source.video
        rate = given.average_rate or given.guessed_rate or _USUAL_RATE
        options = {"crf": str(crf)}
        stream = self._container.add_stream(self._encoding.encoder, rate=rate, options=options)
        stream.width, stream.height = look.width, look.height
        stream.pix_fmt = self._encoding.format
        stream.time_base = given.time_base
        context, flags = stream.codec_context, av.codec.context.Flags
        context.time_base = given.time_base
        context.flags |= int(flags.frame_duration)
        if look.interlaced:
            context.flags |= int(flags.interlaced_dct) | int(flags.interlaced_me)
            self.notes.append("interlaced: each field was restored by itself, and it stays so")
        if given.sample_aspect_ratio:
            context.sample_aspect_ratio = given.sample_aspect_ratio
        for name, value in look.tags.items():
            setattr(context, name, value)
        if look.matrix:
            stream.set_display_matrix(look.matrix)
        stream.disposition = given.disposition
        _describe_stream(stream, given, strip)
        return stream

    def _add_copy(self, stream: Stream, strip: bool) -> bool:
        """Add a stream that is to be copied; tell whether it is kept, by whatever means."""
        container, given = self._container, self._source
        if container.format.name == "matroska" and _is_cover(stream):
            name = stream.metadata.get("filename", "cover.jpg")
            kind = stream.metadata.get("mimetype", "image/jpeg")
            container.add_attachment(name, kind, first_packet(given.path, stream.index))
            return True
        if _is_made_anew(stream, given.video):
            return True
        if not _fits(stream, container.format.name):
            return False
        copied = container.add_stream_from_template(stream, opaque=True)
        copied.disposition = stream.disposition
        _describe_stream(copied, stream, strip)
        self._copies[stream.index] = copied
        return True


def _describe_stream(stream: Stream, given: Stream, strip: bool) -> None:
    """Give a stream the tags of another one, as far as they still hold."""
    tags = {k: v for k, v in given.metadata.items() if not k.lower().startswith(_CODED_KEYS)}
    if strip:
        tags = {key: value for key, value in tags.items() if key in ("language", "timecode")}
    stream.metadata.update(tags)


def _is_cover(stream: Stream) -> bool:
    covers = load_av().stream.Disposition.attached_pic
    return stream.type == "video" and bool(stream.disposition & covers)


def _is_made_anew(stream: Stream, video: Stream) -> bool:
    """Tell whether the writer makes a stream itself: of chapters, or of the picture's time code."""
    chapters = stream.discard == load_av().stream.Discard.all
    return chapters or (stream.type == "data" and not stream.name and "timecode" in video.metadata)


def _fits(stream: Stream, format: str) -> bool:
    """Tell whether a container holds a stream, by beginning one that has nothing else."""
    av = load_av()
    try:
        with av.open(BytesIO(), "w", format=format) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True


def _describe(stream: Stream) -> str:
    """Say what a stream is: its kind, codec and language."""
    codec = stream.name if stream.codec_context is None else stream.codec_context.name
    facts = ", ".join(filter(None, (codec, stream.language)))
    return f"{stream.type} ({facts})" if facts else stream.type


@contextmanager
def open_target(path: Path, format: str, source: Source) -> Iterator[Container]:
    """Open a file to write a video to for the block."""
    options = {}
    if format != "matroska" and any("." in key for key in source.container.metadata):
        options["movflags"] = "+use_metadata_tags"  # else a phone's own tags would be lost
    av = load_av()
    with av.open(f"file:{path}", "w", format=format, container_options=options) as container:
        yield container
