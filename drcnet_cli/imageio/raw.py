"""Camera RAW through rawpy (LibRaw): developed to 16 bits of sRGB with the camera's white balance.

Brightness follows the picture, as LibRaw does it by default. EXIF is taken from the file's own
directories, or from its preview where these are not TIFF's.
"""

import struct
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.decode import check_size, upright_metadata
from drcnet_cli.imageio.ifd import Directory, exif_from_directory, read_directory, read_header
from drcnet_cli.imageio.kinds import RAW, reader_module
from drcnet_cli.imageio.picture import Metadata, Picture
from drcnet_cli.imageio.tiff_pages import piece_ends

_SRGB_GAMMA = (2.4, 12.92)
_EXIF, _MAKER_NOTE = 0x8769, 0x927C
# Files of Olympus and Panasonic are TIFF but for the number that says so.
_NEARLY_TIFF = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
_APP1 = b"\xff\xe1"


def read_raw(data: bytes) -> Picture:
    """Develop a RAW file.

    Raises ImageError without rawpy, and for a file that LibRaw does not know or that is damaged.
    """
    reader = reader_module(RAW)
    if _is_cut(data):  # LibRaw would fill what is missing with black
        raise ValueError("the file ends before its pixels do")
    try:
        with reader.imread(BytesIO(data)) as raw:
            sizes = raw.sizes
            check_size(max(sizes.raw_width, sizes.width), max(sizes.raw_height, sizes.height))
            pixels = raw.postprocess(
                use_camera_wb=True,
                output_bps=16,
                output_color=reader.ColorSpace.sRGB,
                gamma=_SRGB_GAMMA,
            )
            exif = _exif(data) or _preview_exif(raw, reader)
    except reader.LibRawError as error:
        detail = error.args[0] if error.args else error
        detail = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise ImageError(
            f"is a RAW file that LibRaw cannot develop ({detail}).",
            "Copy it again, or develop it in the camera maker's program",
        ) from error
    metadata = Metadata(format="RAW", mode="RGB;16", exif=exif)
    # LibRaw has turned the pixels.
    return Picture(np.array(pixels), None, upright_metadata(metadata, 1))


def _is_cut(data: bytes) -> bool:
    """Tell whether a file ends before the strips, tiles or boxes that it declares."""
    if data[4:8] == b"ftyp":
        at = 0
        while at + 8 <= len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            if size == 1:
                size = int.from_bytes(data[at + 8 : at + 16], "big")
            at += size or len(data)
        return at > len(data)
    try:
        layout, first = read_header(_as_tiff(data))
        return any(end > len(data) for end in piece_ends(data, layout, first))
    except (struct.error, ValueError):
        return False


def _as_tiff(data: bytes) -> bytes:
    if data[:4] in _NEARLY_TIFF:
        return (b"II*\0" if data[:1] == b"I" else b"MM\0*") + data[4:]
    return data


def _exif(data: bytes) -> bytes | None:
    """Return the EXIF block of a RAW file that is a TIFF, or nearly one; else None."""
    data = _as_tiff(data)
    try:
        layout, first = read_header(data)
        directory = read_directory(data, layout, first)
    except (struct.error, ValueError):
        return None
    if inner := directory.children.get(_EXIF):
        # Its offsets are the RAW file's, so that it would point nowhere.
        fields = {tag: field for tag, field in inner.fields.items() if tag != _MAKER_NOTE}
        children = {**directory.children, _EXIF: replace(inner, fields=fields)}
        directory = Directory(directory.fields, children)
    return exif_from_directory(directory, layout.order)


def _preview_exif(raw: Any, reader: Any) -> bytes | None:  # noqa: ANN401 - rawpy's, optional
    """Return the EXIF block of the JPEG that a RAW file shows in lists, None if it has none."""
    try:
        preview = raw.extract_thumb()
    except reader.LibRawError:
        return None
    found = preview.data if isinstance(preview.data, bytes) else b""
    if found[2:4] != _APP1 or found[6:12] != b"Exif\0\0":
        return None
    return found[12 : 4 + int.from_bytes(found[4:6], "big")]
