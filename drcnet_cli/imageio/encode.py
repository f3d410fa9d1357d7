"""Encoders that go through Pillow, and pictures as Pillow images."""

from collections.abc import Callable
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from drcnet_cli.imageio import cicp
from drcnet_cli.imageio.gif import write_gif
from drcnet_cli.imageio.jpeg_read import XMP_MARK, extra_segments, finished
from drcnet_cli.imageio.picture import Picture, rescale
from drcnet_cli.imageio.png_write import write_png
from drcnet_cli.imageio.tiff_write import write_tiff

JPEG_QUALITY = 95
AVIF_QUALITY = 90
# A JPEG segment holds 65533 bytes; EXIF and XMP each fit into one or cannot be kept.
_SEGMENT = 65533
JPEG_EXIF_BYTES = _SEGMENT - len(b"Exif\0\0")
JPEG_XMP_BYTES = _SEGMENT - len(XMP_MARK)
# Past this effort lossless WebP grows much slower and hardly smaller (12 megapixels: 3 s).
_WEBP_EFFORT: dict[str, Any] = {"method": 2, "quality": 50}


def encode(picture: Picture, file: BinaryIO, format: str, quality: int | None) -> None:
    """Write a picture that fits the format (Pillow's name) into a file that can seek.

    `quality` 1..100 for JPEG, WebP and AVIF. WebP without it is lossless. Raises OSError or
    ValueError if the encoder fails.
    """
    if format in _OWN_ENCODERS:
        _OWN_ENCODERS[format](picture, file)
        return
    options: dict[str, Any] = _OPTIONS.get(format, _no_options)(picture, quality)
    if (dpi := picture.metadata.dpi) and format in ("JPEG", "BMP"):
        options["dpi"] = dpi
    # Into memory: Pillow's encoders, given a real file, take a write that a full disk cuts short
    # for whole, and leave half a picture without a word.
    encoded = BytesIO()
    _pillow_image(picture).save(encoded, format, **options)
    if format == "JPEG":
        file.write(finished(encoded.getvalue(), picture.metadata))
    elif format == "AVIF" and (pair := picture.metadata.cicp):
        file.write(cicp.with_boxes(encoded.getvalue(), pair))
    else:
        file.write(encoded.getbuffer())


def _jpeg_options(picture: Picture, quality: int | None) -> dict[str, Any]:
    metadata = picture.metadata
    options: dict[str, Any] = {
        "quality": quality or JPEG_QUALITY,
        "subsampling": 0,  # 4:4:4: restored colour detail is kept
        "icc_profile": metadata.icc,
        "exif": b"Exif\0\0" + metadata.exif if metadata.exif else b"",
    }
    if metadata.comment:
        options["comment"] = metadata.comment
    if extra := extra_segments(metadata):
        options["extra"] = extra
    return options


def _webp_options(picture: Picture, quality: int | None) -> dict[str, Any]:
    kept = _shared_options(picture)
    if quality is None:
        # exact: colours under full transparency stay too.
        return {**kept, "lossless": True, "exact": True, **_WEBP_EFFORT}
    return {**kept, "quality": quality}


def _avif_options(picture: Picture, quality: int | None) -> dict[str, Any]:
    return {**_shared_options(picture), "quality": quality or AVIF_QUALITY, "subsampling": "4:4:4"}


def _shared_options(picture: Picture) -> dict[str, Any]:
    metadata = picture.metadata
    kept = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp}
    return {name: value for name, value in kept.items() if value}


def _no_options(_picture: Picture, _quality: int | None) -> dict[str, Any]:
    return {}


def _write_ppm(picture: Picture, file: BinaryIO) -> None:
    """Write binary PGM or PPM; 16 bits with the high byte first, as its manual says."""
    kind = b"P5" if picture.pixels.shape[2] == 1 else b"P6"
    peak = 65535 if picture.pixels.dtype == np.uint16 else 255
    file.write(b"%s\n%d %d\n%d\n" % (kind, picture.width, picture.height, peak))
    for row in picture.pixels:
        file.write(row.astype(row.dtype.newbyteorder(">")).tobytes())


_OPTIONS: dict[str, Callable[[Picture, int | None], dict[str, Any]]] = {
    "JPEG": _jpeg_options,
    "WEBP": _webp_options,
    "AVIF": _avif_options,
}
_OWN_ENCODERS: dict[str, Callable[[Picture, BinaryIO], None]] = {
    "PNG": write_png,
    "TIFF": write_tiff,
    "PPM": _write_ppm,
    "GIF": write_gif,
}


def picture_to_image(picture: Picture) -> Image.Image:
    """Turn a picture into a Pillow image with its metadata in `info`.

    Pillow has 16-bit and floating-point gray but no such colour, and no alpha beside them: those
    are rounded to 8 bits.
    """
    image = _pillow_image(picture)
    metadata = picture.metadata
    if metadata.exif:
        image.info["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.icc:
        image.info["icc_profile"] = metadata.icc
    if metadata.dpi:
        image.info["dpi"] = metadata.dpi
    if metadata.xmp:
        image.info["xmp"] = metadata.xmp
    return image


def _pillow_image(picture: Picture) -> Image.Image:
    pixels, alpha = picture.pixels, picture.alpha
    white = picture.metadata.float_white
    if pixels.dtype != np.uint8 and (pixels.shape[2] == 3 or alpha is not None):
        pixels = rescale(pixels, np.dtype(np.uint8))
        alpha = None if alpha is None else rescale(alpha, np.dtype(np.uint8))
    if alpha is not None:
        pixels = np.concatenate((pixels, alpha[..., None]), axis=2)
    if pixels.dtype == np.float32 and white != 1:
        pixels = pixels * np.float32(white)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
