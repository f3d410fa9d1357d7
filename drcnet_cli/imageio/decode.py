"""Pictures of up to 8 bits a channel through Pillow: opening, modes, colour, metadata."""

import struct
import zlib
from dataclasses import replace
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio import xmp as xmp_packet
from drcnet_cli.imageio.floats import check_float_range, fit_floats
from drcnet_cli.imageio.formats import canonical, readable_formats
from drcnet_cli.imageio.ifd import ORIENTATION, first_number, upright_exif
from drcnet_cli.imageio.picture import Metadata, Picture, turn_upright
from drcnet_cli.imageio.shared import SharedSetting

# Everything that Pillow's parsers and the ones here are known to raise on bytes that are no whole
# picture: OSError and SyntaxError are Pillow's own way of saying so, zlib.error and struct.error
# come from compressed data and headers cut short, the rest from headers that contradict
# themselves.
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)

# Above every camera and stitched panorama, and what memory could hold at all: 1 gigapixel.
MAX_PIXELS = 2**30
_BAND_PIXELS = 2**20
_PROFILE_DATE = slice(24, 36)  # of creation, in a profile's header (ICC.1:2010, 7.2.8)
_ANY_DATE = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)

# How each of Pillow's modes is expanded: 1-bit to gray, palettes to RGB, premultiplied alpha
# divided out. Modes that are missing (LAB, HSV, 32-bit integers) are refused.
_EXPANDED = {
    "1": "L", "L": "L", "LA": "LA", "La": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB",
    "RGBX": "RGB", "RGBA": "RGBA", "RGBa": "RGBA", "YCbCr": "RGB", "CMYK": "RGB", "F": "F",
    "I;16": "I;16", "I;16L": "I;16", "I;16B": "I;16", "I;16N": "I;16",
}  # fmt: skip
# The PNG keyword of old ImageMagick files, in which an EXIF block is written as hexadecimal.
_HEX_EXIF = "Raw profile type exif"


# Pillow refuses 179 megapixels and warns of 90, which scans and panoramas reach; its limit is a
# module variable and cannot be given with a call.
_pillow_limit = SharedSetting(
    lambda: Image.MAX_IMAGE_PIXELS,
    lambda limit: setattr(Image, "MAX_IMAGE_PIXELS", limit),
    MAX_PIXELS,
)


def check_size(width: int, height: int) -> None:
    """Refuse a size that a header declares, before anything is allocated for it."""
    if width < 1 or height < 1:
        raise ImageError(f"has no pixels ({width} x {height}).")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"declares {width} x {height} pixels, more than the {MAX_PIXELS / 1e6:.0f} megapixels "
            "that are read.",
            "If it really is that large, cut it into parts first.",
        )


def pillow_image(data: bytes, *formats: str) -> Image.Image:
    """Open and load a picture of one frame; `formats` are Pillow's names, by default all readable.

    Raises ImageError, and whatever Pillow raises for damaged data.
    """
    with _pillow_limit.changed():
        image = Image.open(BytesIO(data), formats=formats or readable_formats())
        check_size(*image.size)
        _check_frames(image)
        image.load()
    return image


def _check_frames(image: Image.Image) -> None:
    # A phone's MPO is a JPEG whose further frames are previews, depth or gain maps. TIFF pages
    # are counted by the TIFF reader, which knows previews from pages.
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format not in ("MPO", "TIFF"):
        raise ImageError(
            f"is an animation of {frames} frames, and one picture is expected.",
            "Save its frames as files first.",
        )


def picture_from_image(image: Image.Image, *, float_range: float | None = None) -> Picture:
    """Turn a Pillow image into a picture; the image is left as it was.

    Orientation is applied as for a file, and `float_range` is what `read_picture` takes. Raises
    ImageError for an animation, or a mode or range that is not read.
    """
    check_float_range(float_range)
    _check_frames(image)
    with _pillow_limit.changed():
        image.load()
    picture = from_loaded(image)
    picture.metadata = without_damaged_profile(picture.metadata)
    return fit_floats(picture, float_range)


def from_loaded(image: Image.Image) -> Picture:
    """Turn a loaded Pillow image of one frame into a picture."""
    metadata = _metadata(image)
    # Pillow itself turns a TIFF upright when it loads it.
    orientation = 1 if image.format == "TIFF" else stored_orientation(metadata)
    metadata = upright_metadata(metadata, orientation)
    pixels, alpha, metadata = pixels_of(image, metadata)
    if alpha is not None:
        alpha = turn_upright(alpha, orientation)
    return Picture(turn_upright(pixels, orientation), alpha, metadata)


def _metadata(image: Image.Image) -> Metadata:
    info = image.info
    exif = info.get("exif")
    if exif is None and isinstance(text := info.get(_HEX_EXIF), str):
        exif = exif_from_text(text)
    xmp = info.get("xmp", info.get("XML:com.adobe.xmp"))
    dpi = info.get("dpi")
    return Metadata(
        format=canonical(image.format),
        mode=image.mode,
        exif=exif or None,
        icc=info.get("icc_profile") or None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi and all(dpi) else None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp or None,
        comment=info.get("comment") or None if image.format == "GIF" else None,
    )


def exif_from_text(text: str) -> bytes | None:
    """Give the EXIF block that ImageMagick wrote as hexadecimal lines, None if it is none."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None


def stored_orientation(metadata: Metadata) -> int:
    """Give the orientation that EXIF states, else XMP, else 1."""
    if metadata.exif and (found := first_number(metadata.exif, ORIENTATION, 0)):
        return found
    return xmp_packet.stored_orientation(metadata.xmp or b"") or 1


def upright_metadata(metadata: Metadata, orientation: int) -> Metadata:
    """Give the metadata of the picture turned upright; a damaged EXIF block is left out, said."""
    exif, notes = None, metadata.notes
    if metadata.exif and (exif := upright_exif(metadata.exif, orientation)) is None:
        notes = (*notes, "its damaged EXIF block was left out")
    xmp = metadata.xmp
    if xmp is not None:
        xmp = xmp_packet.turned_upright(xmp)
    dpi, resolution = metadata.dpi, metadata.resolution
    if 5 <= orientation <= 8:
        dpi = dpi and dpi[::-1]
        resolution = replace(resolution, aspect=resolution.aspect and resolution.aspect[::-1])
    return replace(metadata, exif=exif, xmp=xmp, dpi=dpi, resolution=resolution, notes=notes)


def without_damaged_profile(metadata: Metadata) -> Metadata:
    """Return the metadata without a profile that is none, said (ICC.1:2010, 7.2)."""
    icc = metadata.icc
    if icc is None or (icc[36:40] == b"acsp" and int.from_bytes(icc[:4], "big") <= len(icc)):
        return metadata
    note = "its damaged colour profile was left out"
    return replace(metadata, icc=None, notes=(*metadata.notes, note))


def pixels_of(
    image: Image.Image, metadata: Metadata
) -> tuple[np.ndarray, np.ndarray | None, Metadata]:
    """Give pixels and alpha of a loaded image, and its metadata if colours had to be converted.

    Raises ImageError for a mode that is not read.
    """
    metadata = replace(metadata, mode=image.mode)
    if image.mode not in _EXPANDED:
        raise ImageError(
            f"has pixels of a kind that is not read ({image.mode}).",
            "Convert it to RGB or gray first.",
        )
    mode = _EXPANDED[image.mode]
    if "transparency" in image.info and mode in ("L", "RGB"):
        mode += "A"
    if image.mode == "CMYK":
        image, metadata = _from_cmyk(image, metadata)
    if image.mode != mode:
        image = image.convert(mode)
    with _pillow_limit.changed():  # cropping minds it too
        pixels, alpha = _copy_bands(image)
    return pixels, alpha, metadata


def _from_cmyk(image: Image.Image, metadata: Metadata) -> tuple[Image.Image, Metadata]:
    """Convert to sRGB through the picture's profile; without a usable one by plain arithmetic."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(metadata.icc or b""))
        converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        note = "CMYK without a usable profile was converted approximately"
        return image.convert("RGB"), replace(metadata, icc=None, notes=(*metadata.notes, note))
    assert converted is not None  # None is given only when converting in place
    icc = bytearray(srgb.tobytes())
    icc[_PROFILE_DATE] = _ANY_DATE  # else a picture's bytes would depend on the clock
    note = "CMYK was converted to sRGB through its profile"
    return converted, replace(metadata, icc=bytes(icc), notes=(*metadata.notes, note))


def _copy_bands(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Copy L, LA, RGB, RGBA, I;16 or F a few rows at a time: never two copies of the picture."""
    width, height = image.size
    channels = len(image.getbands())
    dtype = {"I;16": np.uint16, "F": np.float32}.get(image.mode, np.uint8)
    has_alpha = channels in (2, 4)
    pixels = np.empty((height, width, channels - has_alpha), dtype)
    alpha = np.empty((height, width), dtype) if has_alpha else None
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = np.asarray(image.crop((0, top, width, bottom))).reshape(-1, width, channels)
        pixels[top:bottom] = band[..., : pixels.shape[2]]
        if alpha is not None:
            alpha[top:bottom] = band[..., -1]
    return pixels, alpha
