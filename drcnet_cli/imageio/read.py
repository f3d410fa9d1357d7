"""Reading: bytes to an upright picture, every failure one sentence that names the file."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from drcnet_cli.errors import ImageError
from drcnet_cli.files.addresses import Address, Place
from drcnet_cli.files.remote import LARGEST, read_object
from drcnet_cli.imageio import cicp, jpeg_read, png, tiff_read
from drcnet_cli.imageio.decode import (
    DECODING_ERRORS,
    MAX_PIXELS,
    check_size,
    from_loaded,
    pillow_image,
    without_damaged_profile,
)
from drcnet_cli.imageio.floats import check_float_range, fit_floats
from drcnet_cli.imageio.formats import readable_formats
from drcnet_cli.imageio.heif import read_heif
from drcnet_cli.imageio.jxl import read_jxl
from drcnet_cli.imageio.kinds import HEIC, JXL, RAW, Kind, explain_no_picture, kind_of_data, unread
from drcnet_cli.imageio.opencv import decode_deep
from drcnet_cli.imageio.picture import Metadata, Picture
from drcnet_cli.imageio.raw import read_raw

_MAX_BYTES = LARGEST
_PIECE = 2**24
_JPEG2000_SIZE_MARKER = b"\xff\x4f\xff\x51"


def read_picture(source: Place | BinaryIO, *, float_range: float | None = None) -> Picture:
    """Read one picture from a file, an address or a binary stream (which need not be able to seek).

    `float_range`: the value of white in floating-point files; without it they must keep to 0..1.

    Raises ImageError, its message one sentence naming the file, if it cannot be opened, is cut
    off, damaged or no picture, holds several frames, or pixels of a kind or range that is not read.
    """
    check_float_range(float_range)
    name = name_of(source)
    return decode_picture(read_bytes(source, name), name, float_range)


def decode_picture(data: bytes, name: str, float_range: float | None = None) -> Picture:
    """Decode what a file of this name holds; see `read_picture`."""
    if not data:
        raise ImageError(f"{name} is empty (0 bytes).", "Copy or download it again.")
    with naming(name, data):
        return finished(_decode(data), float_range)


def finished(picture: Picture, float_range: float | None) -> Picture:
    """Return a decoded picture as the rest of the package takes it; raises ImageError."""
    picture.metadata = without_damaged_profile(picture.metadata)
    return fit_floats(picture, float_range)


@contextmanager
def naming(name: str, data: bytes = b"") -> Iterator[None]:
    """Turn all that reading raises into an ImageError that names the file, whose bytes tell."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name} {error.message}", error.hint) from error
    except UnidentifiedImageError as error:
        formats = f"Formats read: {', '.join(readable_formats())}."
        plain = "is not a picture in a format that can be read.", formats
        message, hint = explain_no_picture(data) or plain
        raise ImageError(f"{name} {message}", hint) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name} declares more than the {MAX_PIXELS / 1e6:.0f} megapixels that are read.",
            "If it really is that large, cut it into parts first.",
        ) from error
    except MemoryError as error:
        raise ImageError(f"{name} is too large for this machine's memory.") from error
    except DECODING_ERRORS as error:
        # The detail may quote the file, which may hold what a terminal obeys.
        words = (word for word in str(error).split() if word.isprintable())
        detail = " ".join(words) or type(error).__name__
        raise ImageError(
            f"{name} is damaged or cut off ({detail}).", "Copy or download it again."
        ) from error


def name_of(source: Place | BinaryIO) -> str:
    """Return what a file, an address or a stream is called in messages."""
    return str(source) if isinstance(source, Place) else _stream_name(source)


def _stream_name(stream: BinaryIO) -> str:
    name = getattr(stream, "name", None)
    named = isinstance(name, str) and not name.startswith("<")  # <stdin>
    return str(name) if named else "The standard input"


def read_bytes(source: Place | BinaryIO, name: str) -> bytes:
    """Read a whole file: decoders of 16 bits need it so, and streams cannot go back."""
    if isinstance(source, Address):
        return read_object(source, _MAX_BYTES)
    with opening(name):
        if not isinstance(source, Path):
            return _read_stream(source, name)
        with source.open("rb") as file:
            size = file.seek(0, io.SEEK_END) if file.seekable() else 0
            if size > _MAX_BYTES:
                raise ImageError(f"{name} has {size / 2**30:.0f} GiB, more than a picture has.")
            if file.seekable():
                file.seek(0)
            return file.read()


@contextmanager
def opening(name: str) -> Iterator[None]:
    """Turn what the file system refuses into an ImageError that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist.", "Check the path.") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is a folder, not a picture.", "Name a file in it.") from error
    except PermissionError as error:
        raise ImageError(f"{name} may not be read.", "Check its permissions.") from error
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror or error}.") from error


def _read_stream(stream: BinaryIO, name: str) -> bytes:
    """Read a stream, which may have no end."""
    pieces, left = [], _MAX_BYTES
    while piece := stream.read(_PIECE):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise ImageError(f"{name} gives over {_MAX_BYTES >> 30} GiB, more than a picture has.")
    return b"".join(pieces)


def _decode(data: bytes) -> Picture:
    """Choose the reader by the first bytes; the file's name has no say."""
    if kind := kind_of_data(data):
        return _decode_kind(data, kind)
    if data.startswith(png.MAGIC):
        return png.read_png(data)
    if data.startswith(tiff_read.MAGIC):
        return tiff_read.read_tiff(data)
    if data[:2] in (b"P2", b"P3", b"P5", b"P6") and (peak := _pnm_peak(data)) > 255:
        return _deep_pnm(data, peak)
    if data.startswith(jpeg_read.MAGIC):
        return jpeg_read.read_jpeg(data)
    note = _depth_note(data)
    picture = from_loaded(pillow_image(data))
    metadata = picture.metadata
    if data[4:8] == b"ftyp":
        metadata = replace(metadata, cicp=cicp.of_boxes(data))
    picture.metadata = replace(metadata, notes=(*metadata.notes, note) if note else metadata.notes)
    return picture


def _decode_kind(data: bytes, kind: Kind) -> Picture:
    """Read a picture through a package of its own; raises ImageError where there is none."""
    if kind is HEIC:
        return read_heif(data)
    if kind is RAW:
        return read_raw(data)
    if kind is JXL:
        found = read_jxl(data)
        return found if isinstance(found, Picture) else _decode(found)
    raise unread(kind)


def _pnm_header(data: bytes) -> list[int]:
    """Return width, height and the largest value; comments run from # to the line's end."""
    lines = (line.partition(b"#")[0] for line in data[2:4096].split(b"\n"))
    return [int(word) for word in b" ".join(lines).split()[:3]]


def _pnm_peak(data: bytes) -> int:
    return _pnm_header(data)[2]


def _deep_pnm(data: bytes, peak: int) -> Picture:
    """Decode PGM or PPM of 16 bits."""
    width, height, _ = _pnm_header(data)
    check_size(width, height)
    if peak != 65535 or data[:2] not in (b"P5", b"P6"):
        raise ImageError(f"has values up to {peak}; 255 and 65535 (binary) are read.")
    channels = 1 if data[:2] == b"P5" else 3
    # OpenCV fills what is missing with what happens to be there.
    if len(data) < width * height * channels * 2:
        raise ValueError("the file ends before its pixels do")
    pixels, _ = decode_deep(data)
    return Picture(pixels, None, Metadata(format="PPM", mode="I;16" if channels == 1 else "RGB;16"))


def _depth_note(data: bytes) -> str:
    """Refuse, or for AVIF say, that Pillow gives 8 bits of a deeper picture."""
    codestream = data.find(_JPEG2000_SIZE_MARKER, 0, 65536)
    if codestream == 0 or (codestream > 0 and data[4:8] == b"jP  "):
        depth = (data[codestream + 42] & 0x7F) + 1  # SIZ marker: ISO 15444-1, A.5.1
        if depth > 8:
            raise ImageError(
                f"is JPEG 2000 of {depth} bits a channel, of which 8 are read.",
                "Convert it to a 16-bit PNG or TIFF first.",
            )
    if data[4:8] == b"ftyp" and (box := data.find(b"pixi", 0, 65536)) >= 0:
        depth = data[box + 9]  # pixi: version and flags, number of channels, bits of each
        return f"AVIF of {depth} bits a channel was read as 8 bits" if depth > 8 else ""
    return ""
