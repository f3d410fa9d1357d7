"""A frame's pixels: out of PyAV's frame as RGB, upright, and back into one like it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.picture import turn_upright
from drcnet_cli.video.colour import (
    BT709,
    RGB,
    UNSPECIFIED,
    Colour,
    Planes,
    find_colour,
    from_rgb,
    to_rgb,
)
from drcnet_cli.video.library import Frame, PixelFormat

_YUV = re.compile(r"yuva?j?(420|422|444)p(\d*)(?:le)?")
_GRAY = re.compile(r"gray(\d*)(?:le)?")
_SUBSAMPLING = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
LIMITED, FULL = 1, 2  # `color_range` in FFmpeg
_PQ, _HLG = 16, 18  # `transfer_characteristics` of H.273

# EXIF orientation by the signs of a display matrix's a, b, c and d (ISO 14496-12, 6.2.2).
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
_INVERSE = {6: 8, 8: 6}  # the others undo themselves


@dataclass(frozen=True)
class Look:
    """What a video's frames have in common, as its first one says.

    `planar`: the pixel format that they are read in; `bits` of it; `subsampling` of its chroma
    (columns, rows). `tags`: range, primaries, transfer and matrix of the result. `notes`: what is
    not kept. `matrix`: the display matrix, nine numbers, None without; `orientation`: the EXIF
    orientation that it means.
    """

    width: int
    height: int
    planar: str
    bits: int
    subsampling: tuple[int, int]
    colour: Colour
    tags: dict[str, int]
    notes: tuple[str, ...]
    interlaced: bool
    matrix: tuple[int, ...] | None
    orientation: int


def look_at(frame: Frame) -> Look:
    """Find out how a frame is to be read; raises ImageError, the file still to be named."""
    if frame.color_trc == _PQ:
        raise ImageError(
            "is an HDR video (PQ), which is not restored: no checkpoint knows its brightness.",
            "Make it SDR first, in the camera's program or by FFmpeg's tonemap",
        )
    planar, bits, subsampling = _planar(frame.format)
    is_rgb = planar.startswith("gbr")
    full = is_rgb or frame.color_range == FULL or "yuvj" in frame.format.name
    full = full or (planar.startswith("gray") and frame.color_range != LIMITED)  # as FFmpeg has it
    matrix = RGB if is_rgb else UNSPECIFIED if frame.colorspace == RGB else frame.colorspace
    colour = find_colour(matrix, full, frame.width, frame.height)
    if colour is None:
        raise ImageError(
            f"has colours by the matrix {matrix} of H.273, which is not converted here.",
            "Convert it to BT.709 first: ffmpeg -i IN -vf scale=out_color_matrix=bt709 OUT.mkv",
        )
    turn = _display_matrix(frame)
    tags = {
        "color_range": FULL if full else frame.color_range,
        "color_primaries": frame.color_primaries,
        "color_trc": frame.color_trc,
        "colorspace": BT709 if is_rgb else matrix,
    }
    return Look(
        frame.width,
        frame.height,
        planar,
        bits,
        subsampling,
        colour,
        tags,
        tuple(_losses(frame)),
        _has_fields(frame),
        turn,
        _ORIENTATIONS.get(_signs(turn), 1) if turn else 1,
    )


def _losses(frame: Frame) -> Iterator[str]:
    """Say what of a frame is not restored, or is left out."""
    format = frame.format
    if not format.has_palette and any(part.is_alpha for part in format.components):
        yield "transparency left out"
    if frame.color_trc == _HLG:  # made to look right where it is taken for SDR, as it is here
        yield "HDR (HLG) restored as it is coded"
    if frame.side_data.get("DOVI_METADATA") is not None:
        yield "Dolby Vision's own data left out"


def _planar(format: PixelFormat) -> tuple[str, int, tuple[int, int]]:
    """Return the planar format to read one in, its bits and its chroma's subsampling."""
    name = format.name
    if found := _YUV.fullmatch(name):
        return name, int(found[2] or 8), _SUBSAMPLING[found[1]]
    if found := _GRAY.fullmatch(name):
        return name, int(found[1] or 8), (2, 2)
    bits = max((part.bits for part in format.components), default=8)
    if format.is_rgb or format.has_palette:
        return ("gbrp", 8, (1, 1)) if bits <= 8 else ("gbrp16le", 16, (1, 1))
    shares = (8 // format.chroma_width(8), 8 // format.chroma_height(8))
    chroma = next((key for key, value in _SUBSAMPLING.items() if value == shares), "444")
    depth = 8 if bits <= 8 else 10 if bits <= 10 else 16
    ending = "" if depth == 8 else f"{depth}le"
    return f"yuv{chroma}p{ending}", depth, _SUBSAMPLING[chroma]


def _display_matrix(frame: Frame) -> tuple[int, ...] | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else tuple(np.frombuffer(bytes(data), np.int32, 9).tolist())


def _signs(matrix: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, _, c, d = ((value > 0) - (value < 0) for value in matrix[:5])
    return a, b, c, d


def read_rgb(frame: Frame, look: Look) -> list[np.ndarray]:
    """Return a frame as H x W x 3 float32, upright; of an interlaced one the two fields."""
    if frame.format.name != look.planar:
        frame = frame.reformat(format=look.planar)
    planes = [_view(plane, look.bits) for plane in frame.planes[: 1 if _is_gray(look) else 3]]
    parts = (planes,)
    if _has_fields(frame):
        parts = ([plane[0::2] for plane in planes], [plane[1::2] for plane in planes])
    return [turn_upright(to_rgb(part, look.bits, look.colour), look.orientation) for part in parts]


def write_rgb(
    frame: Frame, pictures: list[np.ndarray], look: Look, target: str, bits: int, chroma: str
) -> Frame:
    """Return a frame in the format `target` with what `read_rgb` gave, maybe changed.

    All else that the frame carries (time, fields, captions) it keeps.
    """
    if frame.format.name == target:
        frame.make_writable()
        made = frame
    else:
        made = frame.reformat(format=target)
    subsampling = _SUBSAMPLING[chroma]
    back = _INVERSE.get(look.orientation, look.orientation)
    for first, rgb in enumerate(pictures):
        colour = Colour(look.colour.red, look.colour.blue, look.tags["color_range"] == FULL)
        planes: Planes = from_rgb(turn_upright(rgb, back), bits, subsampling, colour)
        for plane, values in zip(made.planes, planes, strict=True):
            _view(plane, bits)[first :: len(pictures)] = values
    made.pict_type = 0  # else the encoder would copy the order of the input's kinds of frames
    for name, value in look.tags.items():
        setattr(made, name, value)
    return made


def _has_fields(frame: Frame) -> bool:
    """Tell whether a frame is two fields, whose rows of chroma are whole pairs."""
    return frame.interlaced_frame and frame.height % 4 == 0


def _is_gray(look: Look) -> bool:
    return look.planar.startswith("gray")


def _view(plane: Frame, bits: int) -> np.ndarray:
    """Return a plane's samples, H x W, without the bytes that fill up its lines."""
    kind = np.dtype(np.uint8 if bits == 8 else np.uint16)
    lines = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return lines[:, : plane.width]
