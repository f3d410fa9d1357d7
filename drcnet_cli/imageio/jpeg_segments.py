"""A JPEG's segments: where they lie, where the picture ends, and whether all of it is there.

ITU-T T.81, annex B. Nothing is decoded here but headers.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

SOI, EOI, SOS, DRI, COM = 0xD8, 0xD9, 0xDA, 0xDD, 0xFE
APP0, APP1, APP2, APP11, APP12, APP13, APP14 = 0xE0, 0xE1, 0xE2, 0xEB, 0xEC, 0xED, 0xEE
# Frames: baseline, extended, progressive; arithmetic ones, which some decoders know.
_DCT_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_OTHER_FRAMES = {
    0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "lossless hierarchical",
    0xCB: "lossless", 0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "lossless hierarchical",
}  # fmt: skip
# In compressed data FF stands before 0 (a byte of it), a restart mark, or FF (filling).
_MARK = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_COEFFICIENTS = 64


@dataclass(frozen=True)
class Segment:
    """A marker and where its contents, without their length, start and end."""

    marker: int
    start: int
    end: int

    def body(self, data: bytes) -> bytes:
        """Return the contents."""
        return data[self.start : self.end]


@dataclass
class Layout:
    """What lies where. `end`: just behind the picture's end mark, None if it is missing."""

    segments: list[Segment] = field(default_factory=list)
    end: int | None = None

    def named(self, marker: int, start: bytes, data: bytes) -> Iterator[bytes]:
        """Return the contents of segments that begin with some bytes, without these."""
        for segment in self.segments:
            if segment.marker == marker and data.startswith(start, segment.start):
                yield data[segment.start + len(start) : segment.end]

    def frame(self, data: bytes) -> tuple[int, int] | None:
        """Return the frame's marker and its bits a sample, None where it has no frame."""
        for segment in self.segments:
            if segment.marker in _DCT_FRAMES or segment.marker in _OTHER_FRAMES:
                return segment.marker, data[segment.start]
        return None


def read_layout(data: bytes) -> Layout:
    """Return the segments of the first picture in a file; what is cut off is left out."""
    layout, at = Layout(), 2
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            return layout
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == EOI:
            layout.end = at + 2
            return layout
        elif marker in (0x01, SOI) or 0xD0 <= marker <= 0xD7:
            at += 2
        else:
            if at + 4 > len(data):
                return layout
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if end > len(data) or end < at + 4:
                return layout
            layout.segments.append(Segment(marker, at + 4, end))
            at = _behind_scan(data, end) if marker == SOS else end
    return layout


def _behind_scan(data: bytes, at: int) -> int:
    found = _MARK.search(data, at)
    return found.start() if found else len(data)


def other_frame(marker: int) -> str:
    """Return what a frame that no reader here knows is called; empty for the others."""
    return _OTHER_FRAMES.get(marker, "")


def scans_are_complete(layout: Layout, data: bytes) -> bool:
    """Tell whether the scans' headers promise every coefficient of every component to its last bit.

    A progressive picture whose later scans are missing decodes, but as a blurred one.
    """
    left: dict[int, set[int]] = {}
    for segment in layout.segments:
        body = segment.body(data)
        if segment.marker in _DCT_FRAMES and len(body) >= 6:
            count = body[5]
            left = {body[6 + 3 * n]: set(range(_COEFFICIENTS)) for n in range(count)}
        elif segment.marker == SOS and body and len(body) >= 2 * body[0] + 4:
            first, last, bits = body[-3], body[-2], body[-1] & 15
            for n in range(body[0]):
                if bits == 0:
                    left.get(body[1 + 2 * n], set()).difference_update(range(first, last + 1))
    return bool(left) and not any(left.values())


def endings(layout: Layout, data: bytes) -> Iterator[bytes]:
    """Return the file with its end mark, behind nothing and behind several fillings.

    What is missing would take its values from these: where all decode alike, nothing is.
    """
    body = data[:-1] if data.endswith(b"\xff") else data
    yield body + b"\xff\xd9"
    restarts = any(
        segment.marker == DRI and segment.body(data)[:2] != b"\0\0" for segment in layout.segments
    )
    last = max((body.rfind(bytes((0xFF, 0xD0 + n))), n) for n in range(8))
    following = last[1] + 1 if last[0] >= 0 else 0
    for filling in (b"\x55", b"\xaa", b"\x0e", b"\xf1"):
        tail = filling * 64
        if restarts:  # missing parts between restart marks would be filled with gray
            marks = (bytes((0xFF, 0xD0 + (following + n) % 8)) + filling * 8 for n in range(64))
            tail += b"".join(marks)
        yield body + tail + b"\xff\xd9"


def segments_bytes(marker: int, start: bytes, contents: bytes) -> bytes:
    """Return contents of any length as segments, each beginning with `start`."""
    most = 65533 - len(start)
    parts = [contents[at : at + most] for at in range(0, len(contents), most)]
    return b"".join(
        struct.pack(">BBH", 0xFF, marker, 2 + len(start) + len(part)) + start + part
        for part in parts
    )
