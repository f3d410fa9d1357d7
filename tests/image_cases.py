"""Picture files with the pixels that they hold, and short ways to read and write them."""

import struct
import zlib
from dataclasses import replace
from io import BytesIO

import cv2
import image_fixtures as make
import numpy as np
import pytest
from PIL import Image

from drcnet_cli.imageio import (
    Metadata,
    Picture,
    read_picture,
    writable_formats,
    write_picture,
)

U8, U16, F32 = np.uint8, np.uint16, np.float32
needs_avif = pytest.mark.skipif("avif" not in writable_formats(), reason="Pillow without AVIF")


def read(data: bytes) -> Picture:
    return read_picture(BytesIO(data))


def written(picture: Picture, format: str | None = None, **options) -> tuple[bytes, list[str]]:
    buffer = BytesIO()
    notes = write_picture(picture, buffer, format=format, **options)
    return buffer.getvalue(), notes


def again(picture: Picture, format: str, **options) -> Picture:
    return read(written(picture, format, **options)[0])


def whole(picture: Picture) -> np.ndarray:
    """Pixels and alpha as H x W (x C), to compare with what a fixture was made of."""
    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = np.concatenate((pixels, picture.alpha[..., None]), axis=2)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def keyed(array: np.ndarray, key) -> np.ndarray:
    """Add alpha: transparent where every channel has the key's value."""
    planes = array[..., None] if array.ndim == 2 else array
    alpha = np.where((planes == key).all(axis=2), 0, np.iinfo(array.dtype).max)
    return np.concatenate((planes, alpha[..., None].astype(array.dtype)), axis=2)


def pillow(data: bytes, mode: str) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert(mode))


# Arrays that the files are made of, and every mode of file with the pixels it holds

RGB8, RGBA8, GRAY8, LA8 = (make.random_array(n) for n in (3, 4, 1, 2))
RGB16, RGBA16, GRAY16, LA16 = (make.random_array(n, U16) for n in (3, 4, 1, 2))
RGBF, RGBAF, GRAYF = (make.random_array(n, F32) for n in (3, 4, 1))
BITS = make.random_array(1) & 1
NIBBLES = make.random_array(1) & 15
KEY_RGB = make.png_chunk(b"tRNS", struct.pack(">3H", *map(int, RGB8[3, 4])))
KEY_RGB16 = make.png_chunk(b"tRNS", struct.pack(">3H", *map(int, RGB16[3, 4])))
KEY_GRAY16 = make.png_chunk(b"tRNS", struct.pack(">H", GRAY16[3, 4]))
LINEAR = make.png_chunk(b"gAMA", struct.pack(">I", 100000)) + make.png_chunk(b"sBIT", b"\12" * 3)
LZW = (cv2.IMWRITE_TIFF_COMPRESSION, 5)
PALETTE = make.palette()
PALETTE_ALPHA = make.palette(bytes(range(0, 256, 16)))
PALETTE_GIF = make.palette(3, "GIF")

EXACT = {
    "png gray": (make.png(GRAY8), GRAY8),
    "png gray alpha": (make.png(LA8), LA8),
    "png rgb": (make.png(RGB8), RGB8),
    "png rgba": (make.png(RGBA8), RGBA8),
    "png rgb interlaced": (make.png(RGB8, interlaced=True), RGB8),
    "png rgb keyed": (make.png(RGB8, KEY_RGB), keyed(RGB8, RGB8[3, 4])),
    "png gray keyed": (
        make.png(GRAY8, make.png_chunk(b"tRNS", struct.pack(">H", GRAY8[3, 4]))),
        keyed(GRAY8, GRAY8[3, 4]),
    ),
    "png 1 bit": (make.png(BITS, depth=1), BITS * 255),
    "png 1 bit keyed": (
        make.png(BITS, make.png_chunk(b"tRNS", b"\0\1"), depth=1),
        keyed(BITS * 255, 255),
    ),
    "png 4 bits": (make.png(NIBBLES, depth=4), NIBBLES * 17),
    "png 4 bits keyed": (
        make.png(NIBBLES, make.png_chunk(b"tRNS", b"\0\7"), depth=4),
        keyed(NIBBLES * 17, 7 * 17),
    ),
    "png palette": (PALETTE, pillow(PALETTE, "RGB")),
    "png palette alpha": (PALETTE_ALPHA, pillow(PALETTE_ALPHA, "RGBA")),
    "png gray 16": (make.png(GRAY16), GRAY16),
    "png gray 16 dark": (make.png(make.dark_array(1)), make.dark_array(1)),
    "png gray 16 keyed": (make.png(GRAY16, KEY_GRAY16), keyed(GRAY16, GRAY16[3, 4])),
    "png gray alpha 16": (make.png(LA16), LA16),
    "png rgb 16": (make.png(RGB16), RGB16),
    "png rgb 16 dark": (make.png(make.dark_array(3)), make.dark_array(3)),
    "png rgb 16 interlaced": (make.png(RGB16, interlaced=True), RGB16),
    "png rgb 16 keyed": (make.png(RGB16, KEY_RGB16), keyed(RGB16, RGB16[3, 4])),
    "png rgb 16 linear": (make.png(RGB16, LINEAR), RGB16),
    "png rgba 16": (make.png(RGBA16), RGBA16),
    "png rgba 16 interlaced": (make.png(RGBA16, interlaced=True), RGBA16),
    "tiff gray": (make.save(GRAY8, "TIFF"), GRAY8),
    "tiff gray alpha": (make.save(LA8, "TIFF"), LA8),
    "tiff rgb lzw": (make.save(RGB8, "TIFF", compression="tiff_lzw"), RGB8),
    "tiff rgb planar": (make.tiff(RGB8, planar=True), RGB8),
    "tiff rgba": (make.save(RGBA8, "TIFF"), RGBA8),
    "tiff 1 bit": (make.save(Image.fromarray(BITS * 255).convert("1"), "TIFF"), BITS * 255),
    "tiff gray 16": (make.tiff(GRAY16), GRAY16),
    "tiff gray 16 white is zero": (make.tiff(GRAY16, photometric=0), 65535 - GRAY16),
    "tiff gray 16 big-endian": (make.tiff(GRAY16, order=">"), GRAY16),
    "tiff gray alpha 16": (make.tiff(LA16, extra=2), LA16),
    "tiff gray alpha 16 deflate": (
        make.tiff(LA16, extra=2, order=">", deflate=True, differenced=True),
        LA16,
    ),
    "tiff gray alpha 16 planar": (make.tiff(LA16, extra=2, planar=True, deflate=True), LA16),
    "tiff rgb 16": (make.tiff(RGB16), RGB16),
    "tiff rgb 16 dark": (make.tiff(make.dark_array(3)), make.dark_array(3)),
    "tiff rgb 16 big-endian": (make.tiff(RGB16, order=">", deflate=True, differenced=True), RGB16),
    "tiff rgb 16 planar": (make.tiff(RGB16, planar=True), RGB16),
    "tiff rgb 16 planar deflate": (
        make.tiff(RGB16, planar=True, deflate=True, differenced=True, order=">"),
        RGB16,
    ),
    "tiff rgb 16 lzw": (make.with_opencv(RGB16, ".tiff", *LZW), RGB16),
    "tiff rgba 16": (make.tiff(RGBA16, extra=2), RGBA16),
    "tiff rgba 16 planar": (make.tiff(RGBA16, extra=2, planar=True), RGBA16),
    "tiff gray float": (make.save(GRAYF, "TIFF"), GRAYF),
    "tiff rgb float": (make.tiff(RGBF, deflate=True), RGBF),
    "tiff rgb float big-endian": (make.tiff(RGBF, order=">"), RGBF),
    "tiff rgba float": (make.tiff(RGBAF, extra=2), RGBAF),
    "webp lossless": (make.save(RGB8, "WEBP", lossless=True), RGB8),
    "webp lossless alpha": (make.save(RGBA8, "WEBP", lossless=True, exact=True), RGBA8),
    "bmp rgb": (make.save(RGB8, "BMP"), RGB8),
    "bmp gray": (make.save(GRAY8, "BMP"), GRAY8),
    "ppm": (make.save(RGB8, "PPM"), RGB8),
    "pgm": (make.save(GRAY8, "PPM"), GRAY8),
    "ppm 16": (make.with_opencv(RGB16, ".ppm"), RGB16),
    "pgm 16": (make.with_opencv(GRAY16, ".pgm"), GRAY16),
    "tga rgba": (make.save(RGBA8, "TGA"), RGBA8),
    "jpeg 2000": (make.save(RGB8, "JPEG2000"), RGB8),
    "gif": (PALETTE_GIF, pillow(PALETTE_GIF, "RGBA")),
    "jpeg gray": (jpeg := make.save(GRAY8, "JPEG"), pillow(jpeg, "L")),
    "jpeg rgb": (jpeg := make.save(make.smooth(), "JPEG"), pillow(jpeg, "RGB")),
    "jpeg progressive": (
        jpeg := make.save(make.smooth(), "JPEG", progressive=True),
        pillow(jpeg, "RGB"),
    ),
}


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn with Pillow, an implementation of its own."""
    operation = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    index = Image.fromarray(
        np.arange(array.shape[0] * array.shape[1], dtype=np.int32).reshape(array.shape[:2])
    )
    turned = np.asarray(index.transpose(operation) if operation is not None else index)
    return array.reshape(-1, *array.shape[2:])[turned]


def with_metadata(source: str, block: bytes) -> bytes:
    """A picture with orientation 6, profile, XMP and 300 dpi."""
    if source == "jpg":
        segment = b"http://ns.adobe.com/xap/1.0/\0" + make.XMP
        extra = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
        return make.save(
            make.smooth(),
            "JPEG",
            exif=b"Exif\0\0" + block,
            icc_profile=make.SRGB,
            dpi=(300, 300),
            extra=extra,
        )
    if source == "webp":
        # WebP holds no resolution of its own; a PNG of the same adds it for the comparison.
        data = make.save(RGB8, "WEBP", exif=block, icc_profile=make.SRGB, xmp=make.XMP)
        picture = read(data)
        picture.metadata = replace(picture.metadata, dpi=(300.0, 300.0))
        return written(picture, "png")[0]
    if source.startswith("png"):
        image = RGB16 if source == "png 16" else RGB8
        return make.png(
            image,
            _iccp(),
            make.png_chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
            make.png_chunk(b"eXIf", block),
            end=make.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + make.XMP),
        )
    if source == "tiff 16":
        metadata = Metadata(exif=block, icc=make.SRGB, dpi=(300.0, 300.0), xmp=make.XMP)
        return written(Picture(RGB16, metadata=metadata), "tiff")[0]
    exif = Image.Exif()
    exif.load(block)
    exif[700] = make.XMP
    return make.save(RGB8, "TIFF", exif=exif, icc_profile=make.SRGB, dpi=(300, 300))


def _iccp() -> bytes:
    return make.png_chunk(b"iCCP", b"x\0\0" + zlib.compress(make.SRGB))
