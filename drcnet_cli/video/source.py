"""A video's file as it is read: its streams, packet by packet, and every failure one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.kinds import explain_no_picture, is_video
from drcnet_cli.video.library import Container, Frame, Packet, Stream, load_av

# What opens nothing but the file itself: a playlist under a video's name would fetch from anywhere.
_SAFELY = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,"
    "ogg,mxf,dv,h264,hevc",
}
# Of these the header says how long they are; of others it is guessed.
_SAYS_LENGTH = ("mov", "matroska", "avi")
_MISSING = 0.5  # seconds less than that, without which a file is cut off
_AGAIN = "Copy or download it again."
_REPAIR = "Copy it again, or let FFmpeg mend it: ffmpeg -i IN -c:v ffv1 -c:a copy OUT.mkv"


class Source:
    """An open video: `container`, its main picture `video`, and the streams to copy, `others`.

    `frames`: how many have been read; `total`: of how many, 0 where nothing tells. `lost`: packets
    and frames before the first whole frame, which cannot be shown without what came before them.
    """

    def __init__(self, container: Container, path: Path, name: str) -> None:
        self.container = container
        self.path = path
        self.name = name
        self.frames = 0
        self.lost = 0
        self._ends: list[Fraction] = []
        av = load_av()
        self._error = av.FFmpegError
        covers = av.stream.Disposition.attached_pic
        films = [s for s in container.streams.video if not s.disposition & covers]
        if not films:
            raise ImageError(f"{name} has no moving picture.", "Check that it is the right file")
        self.video: Stream = films[0]
        self.others: list[Stream] = [s for s in container.streams if s is not self.video]
        if self.video.codec_context is None:
            raise ImageError(f"{name} is coded in a way that this FFmpeg does not read.", _REPAIR)
        self.video.thread_type = "AUTO"
        # What is damaged is to be told, neither concealed nor dropped.
        context = self.video.codec_context
        context.flags |= int(av.codec.context.Flags.output_corrupt)
        context.options = {**context.options, "err_detect": "explode"}
        self.total = self._count_frames()

    def packets(self) -> Iterator[Packet]:
        """Yield the packets of all streams in the file's order; raises ImageError for damage."""
        streams = [stream for stream in (self.video, *self.others) if stream.type != "attachment"]
        packets = self.container.demux(streams)
        while True:
            try:
                packet = next(packets, None)
            except self._error as error:
                raise self._damaged(error.strerror) from error
            if packet is None:
                break
            if packet.pts is not None and packet.time_base:
                self._ends.append((packet.pts + (packet.duration or 0)) * packet.time_base)
                self._ends = [max(self._ends)]
            yield packet
        self._check_whole()

    def decode(self, packet: Packet) -> list[Frame]:
        """Return the frames that a packet completes; raises ImageError for damaged ones."""
        try:
            frames = packet.decode()
        except self._error as error:
            if self.frames:
                raise self._damaged(error.strerror) from error
            self.lost += 1
            return []
        whole = []
        for frame in frames:
            if not frame.is_corrupt:
                self.frames += 1
                whole.append(frame)
            elif self.frames:
                raise self._damaged("a part of it is missing")
            else:
                self.lost += 1
        return whole

    def _damaged(self, reason: str) -> ImageError:
        where = f"behind frame {self.frames}" if self.frames else "at its beginning"
        return ImageError(f"{self.name} is damaged or cut off {where} ({reason}).", _REPAIR)

    def _check_whole(self) -> None:
        """Raise ImageError where the file ends earlier than its header says."""
        if not self.frames:
            raise self._damaged("no frame can be decoded")
        declared = self.container.duration
        if declared is None or not self.container.format.name.startswith(_SAYS_LENGTH):
            return
        start = self.container.start_time or 0
        seconds, read = declared / 1e6, float(max(self._ends, default=Fraction())) - start / 1e6
        if read < seconds - _MISSING:
            raise self._damaged(f"{read:.1f} of {seconds:.1f} seconds are there")

    def _count_frames(self) -> int:
        if self.video.frames:
            return self.video.frames
        rate, length = self.video.average_rate, self.container.duration
        return round(rate * length / 1_000_000) if rate and length else 0


@contextmanager
def open_source(path: Path, name: str) -> Iterator[Source]:
    """Open a video for the block; raises ImageError, naming it `name`, for what is none."""
    av = load_av()
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror or error}.") from error
    if not start:
        raise ImageError(f"{name} is empty (0 bytes).", _AGAIN)
    try:
        # By its protocol, so that no name is taken for another one.
        container = av.open(f"file:{path}", container_options=_SAFELY, metadata_errors="replace")
    except av.FFmpegError as error:
        raise _unopened(name, start, error.strerror) from error
    with container:
        yield Source(container, path, name)


def _unopened(name: str, start: bytes, reason: str) -> ImageError:
    """Return the error for a file that cannot be opened, of which the first bytes are given."""
    other = None if is_video(start) else explain_no_picture(start)
    if other is None:
        return ImageError(f"{name} is damaged, cut off, or no video ({reason}).", _AGAIN)
    message, hint = (text.replace("picture", "video") for text in other)
    return ImageError(f"{name} {message}", hint)


def first_packet(path: Path, index: int) -> bytes:
    """Return the contents of a stream's first packet: of a cover, the picture's file."""
    with load_av().open(f"file:{path}", container_options=_SAFELY) as container:
        return bytes(next(container.demux(container.streams[index])))
