"""The whole files that the campaign damages: every mode, depth and layout that can be made here.

Made by Pillow, OpenCV or by hand, never by the code under test. `python -m
tests.campaign.image_corpus FOLDER` writes them out, as seeds for another fuzzer.
"""

import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, features

sys.path.insert(0, str(Path(__file__).parents[1]))  # the helpers of the quick tests

import image_cases as cases
import image_fixtures as make

U8, U16, F32 = np.uint8, np.uint16, np.float32
# Pillow's modes, and the formats that may hold them; what Pillow refuses is passed over.
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB",
         "HSV", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # fmt: skip
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "TGA", "JPEG2000", "AVIF")
SUFFIXES = {"JPEG": "jpg", "TIFF": "tif", "JPEG2000": "jp2"}
TIFF_COMPRESSIONS = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "webp", "zstd",
                     "tiff_lzma", "group3", "group4", "tiff_ccitt")  # fmt: skip


def corpus() -> dict[str, tuple[str, bytes]]:
    """Return by name the usual suffix and the bytes of each whole file; the same at every call."""
    files: dict[str, tuple[str, bytes]] = {}
    for name, (data, _) in cases.EXACT.items():
        files[name] = (_suffix_of(data), data)
    for source in (_modes, _pngs, _tiffs, _jpegs, _others):
        for name, data in source():
            files[name] = (_suffix_of(data), data)
    return files


def _suffix_of(data: bytes) -> str:
    heads = {
        b"\x89PNG": "png", b"\xff\xd8": "jpg", b"II": "tif", b"MM": "tif", b"RIFF": "webp",
        b"GIF8": "gif", b"BM": "bmp", b"P": "ppm", b"\0\0\0\x0cjP": "jp2", b"\xff\x4f": "j2k",
    }  # fmt: skip
    for head, suffix in heads.items():
        if data.startswith(head):
            return suffix
    return "avif" if data[4:8] == b"ftyp" else "tga"


def _modes() -> Iterator[tuple[str, bytes]]:
    base = Image.fromarray(make.smooth())
    for mode in MODES:
        image = _in_mode(base, mode)
        for format in FORMATS:
            if image is not None and (data := _saved(image, format)):
                yield f"{format.lower()} {mode}", data


def _in_mode(base: Image.Image, mode: str) -> Image.Image | None:
    if mode == "LAB":
        return Image.new("LAB", make.SIZE, (90, 120, 140))
    try:
        via = base.convert({"PA": "LA", "La": "LA", "RGBa": "RGBA"}.get(mode, "RGB"))
        if mode.startswith("I;16"):
            return base.convert("I").convert("I;16").convert(mode)
        return via.convert(mode)
    except ValueError:
        return None


def _saved(image: Image.Image, format: str, **options) -> bytes | None:
    if format == "AVIF" and not features.check("avif"):
        return None
    try:
        return make.save(image, format, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None


def _pngs() -> Iterator[tuple[str, bytes]]:
    for depth in (1, 2, 4):
        values = make.random_array(1) & (2**depth - 1)
        yield f"png {depth} bits interlaced", make.png(values, depth=depth, interlaced=True)
    yield "png gray 16 interlaced", make.png(cases.GRAY16, interlaced=True)
    yield "png la16 interlaced", make.png(cases.LA16, interlaced=True)
    chunks = (
        make.png_chunk(b"iCCP", b"x\0\0" + zlib.compress(make.SRGB)),
        make.png_chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
        make.png_chunk(b"eXIf", make.exif(6)),
        make.png_chunk(b"tEXt", b"Comment\0" + b"words " * 9),
        make.png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 4\n4d4d")),
    )
    end = make.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + make.XMP)
    yield "png all chunks", make.png(cases.RGB8, *chunks, end=end)
    yield "png 16 all chunks", make.png(cases.RGB16, *chunks, end=end)
    frames = [Image.fromarray(make.random_array(3, seed=n)) for n in range(3)]
    for format in ("PNG", "GIF", "WEBP", "TIFF", "MPO"):
        more = {"save_all": True, "append_images": frames[1:]}
        yield f"{format.lower()} of three frames", make.save(frames[0], format, **more)


def _tiffs() -> Iterator[tuple[str, bytes]]:
    one_bit, rgb = Image.fromarray(cases.BITS * 255).convert("1"), Image.fromarray(make.smooth())
    for compression in TIFF_COMPRESSIONS:
        for name, image in (("rgb", rgb), ("gray", rgb.convert("L")), ("1 bit", one_bit)):
            if data := _saved(image, "TIFF", compression=compression):
                yield f"tiff {name} {compression}", data
    if data := _saved(rgb, "TIFF", big_tiff=True):
        yield "tiff big rgb", data
    for kind in ("u1", "u2", "u4", "i2", "i4", "f2", "f4", "f8"):
        array = (cases.RGBF * (1 if kind[0] == "f" else 100)).astype(kind)
        yield f"tiff rgb {kind}", make.tiff(array)
        yield f"tiff gray {kind} deflate", make.tiff(array[..., 0], deflate=True)
    for name, array in (("rgb 8", cases.RGB8), ("rgb 16", cases.RGB16), ("gray 16", cases.GRAY16)):
        for planar in (False, True):
            yield f"tiff {name} tiled {planar}", _tiled(array, planar)
    yield "tiff rgb 16 zip opencv", make.with_opencv(cases.RGB16, ".tif", 259, 8)
    yield "tiff rgb float opencv", make.with_opencv(cases.RGBF, ".tif", 259, 1)
    yield "tiff rgb 16 turned", make.tiff(cases.RGB16, tags=[(274, 3, [6])])
    yield "tiff gray 8 pages", make.tiff(cases.GRAY8, pages=3)
    yield "tiff rgb 16 preview", make.tiff(cases.RGB16, pages=2, subfile=1)
    yield "tiff metadata", cases.with_metadata("tiff", make.exif(6))
    yield "tiff float nan", make.tiff(np.full_like(cases.GRAYF, np.nan))
    yield "tiff float one nan", make.tiff(_with_nan(cases.RGBF))
    yield "tiff float wide", make.tiff(cases.RGBF * 1e30 - 5e29)


def _with_nan(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed[5, 7] = np.nan
    return changed


def _tiled(array: np.ndarray, planar: bool) -> bytes:
    """Encode tiles of 16 x 16, uncompressed; the file has no strips."""
    planes = array[..., None] if array.ndim == 2 else array
    height, width, samples = planes.shape
    padded = np.pad(planes, ((0, -height % 16), (0, -width % 16), (0, 0)))
    groups = [padded[..., n : n + 1] for n in range(samples)] if planar else [padded]
    tiles = [
        group[top : top + 16, left : left + 16].tobytes()
        for group in groups
        for top in range(0, padded.shape[0], 16)
        for left in range(0, padded.shape[1], 16)
    ]
    # The strip of the fixture's file holds all tiles one after another.
    whole = make.tiff(np.frombuffer(b"".join(tiles), array.dtype).reshape(-1, 1, 1))
    starts = [8 + n * len(tiles[0]) for n in range(len(tiles))]
    tags = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [8 * array.itemsize] * samples),
        259: (3, [1]), 262: (3, [2 if samples == 3 else 1]), 277: (3, [samples]),
        284: (3, [2 if planar else 1]), 322: (3, [16]), 323: (3, [16]), 324: (4, starts),
        325: (4, [len(tiles[0])] * len(tiles)),
    }  # fmt: skip
    file = bytearray(whole[: 8 + sum(map(len, tiles))])
    struct.pack_into("<I", file, 4, len(file))
    make._append_directory(file, "<", tags)
    return bytes(file)


def _jpegs() -> Iterator[tuple[str, bytes]]:
    rgb = Image.fromarray(make.smooth((64, 48)))
    exif = b"Exif\0\0" + make.exif(6)
    options = {
        "quality 1": {"quality": 1}, "progressive": {"progressive": True},
        "4:2:0": {"subsampling": 2}, "restarts": {"restart_marker_blocks": 2},
        "exif": {"exif": exif}, "icc": {"icc_profile": make.SRGB}, "comment": {"comment": b"x"},
        "optimised": {"optimize": True}, "dpi": {"dpi": (300, 300)},
    }  # fmt: skip
    for mode in ("L", "RGB", "CMYK"):
        for name, option in options.items():
            yield f"jpeg {mode} {name}", make.save(rgb.convert(mode), "JPEG", **option)
    icc = make.cmyk_profile()
    yield "jpeg CMYK profile", make.save(rgb.convert("CMYK"), "JPEG", icc_profile=icc)
    yield "jpeg metadata", cases.with_metadata("jpg", make.exif(8, ">"))


def _others() -> Iterator[tuple[str, bytes]]:
    rgb, rgba = Image.fromarray(make.smooth()), Image.fromarray(cases.RGBA8)
    yield "webp lossy", make.save(rgb, "WEBP")
    yield "webp lossy alpha", make.save(rgba, "WEBP")
    yield "webp metadata", make.save(rgb, "WEBP", exif=make.exif(3), xmp=make.XMP)
    yield "gif gray interlaced", make.save(rgb.convert("L"), "GIF", interlace=True)
    yield "bmp 4 bytes", make.save(rgba, "BMP")
    yield "bmp run length", _bmp_run_length()
    yield "tga run length", make.save(rgba, "TGA", compression="tga_rle")
    yield "tga palette", make.save(rgb.convert("P"), "TGA")
    yield "ppm plain", b"P3\n# words\n2 2\n255\n" + b"1 2 3 " * 4 + b"\n"
    yield "pgm plain", b"P2 3 2 15\n0 1 2 3 4 5\n"
    yield "pbm plain", b"P1\n3 2\n1 0 1 0 1 0\n"
    yield "pbm", b"P4\n9 2\n\xff\x80\x0f\0"
    yield "pgm 10 bits", make.with_opencv(cases.GRAY16, ".pgm").replace(b"65535", b" 1023")
    yield "pfm", b"Pf\n23 17\n-1.0\n" + cases.GRAYF.tobytes()
    yield "pam", b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + bytes(6)
    yield "j2k", make.save(rgb, "JPEG2000", no_jp2=True)
    yield "jp2 lossy tiles", make.save(rgb, "JPEG2000", irreversible=True, tile_size=(16, 16))
    if cv2.haveImageWriter("a.avif"):
        yield (
            "avif 10 bits",
            make.with_opencv(cases.RGB16 >> 6, ".avif", cv2.IMWRITE_AVIF_DEPTH, 10),
        )


def _bmp_run_length() -> bytes:
    """An 8-bit BMP, run-length encoded, of 4 x 4 pixels."""
    body = b"\4\1\0\0" * 4 + b"\0\1"
    colours = bytes(range(256)) * 4
    head = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 8, 1, len(body), 0, 0, 256, 0)
    start = 14 + len(head) + len(colours)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + head + colours + body


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for number, (suffix, data) in enumerate(corpus().values()):
        (target / f"{number:03}.{suffix}").write_bytes(data)
