"""Pictures for a page: read for display, scaled down, encoded as text, their errors mapped."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, features

from drcnet_cli.imageio import read_picture
from drcnet_cli.imageio.picture import rescale
from drcnet_cli.report.blocks import Pixels

# 99.5 % of a map's pixels stay below the brightest colour with the gain that is chosen.
_GAINS = (16, 8, 4, 2)
_BELOW_WHITE = 99.5
_SEARCHED_SIDE = 2048
# Of pictures that were scaled down, and so are no longer exact anyway.
LOSSY_QUALITY = 90


@dataclass(frozen=True)
class ErrorMap:
    """Where two pictures differ: H x W uint8, the largest difference of the three channels.

    `gain`: what differences are multiplied by to be seen.
    """

    differences: Pixels
    gain: int

    @property
    def brightest(self) -> int:
        """Give the difference, in levels of 255, from which on the map is at its brightest."""
        return -(-255 // self.gain)


def read_for_display(path: Path) -> Pixels:
    """Read a picture as a browser would show it: upright, 8 bits, sRGB; H x W x 3.

    Transparency is left out. A colour profile that cannot be used is ignored. Raises ImageError
    naming the file.
    """
    picture = read_picture(path)
    pixels = rescale(picture.pixels, np.dtype(np.uint8))
    if picture.metadata.icc:
        pixels = _to_srgb(pixels, picture.metadata.icc)
    # Gray pictures have one channel, which becomes all three.
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), np.uint8)


def _to_srgb(pixels: Pixels, icc: bytes) -> Pixels:
    """Convert from a profile's colours, unless it is sRGB's or for other channels than these."""
    gray = pixels.shape[2] == 1
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        # A conversion from sRGB to itself would round some values to their neighbours.
        if ImageCms.getProfileDescription(profile).strip().lower().startswith("srgb"):
            return pixels
        transform = ImageCms.buildTransform(
            profile, ImageCms.createProfile("sRGB"), "L" if gray else "RGB", "RGB"
        )
    except (ImageCms.PyCMSError, OSError):
        return pixels
    image = ImageCms.applyTransform(Image.fromarray(pixels[..., 0] if gray else pixels), transform)
    return pixels if image is None else np.asarray(image)


def fit(pixels: Pixels, max_side: int) -> Pixels:
    """Scale H x W (x C) down, by averaging, until no side is longer than `max_side`."""
    height, width = pixels.shape[:2]
    if max(height, width) <= max_side:
        return pixels
    scale = max_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def map_errors(picture: Pixels, other: Pixels, gain: int | None = None) -> ErrorMap:
    """Map how far two pictures lie apart; without `gain` a power of two is chosen that shows it."""
    differences = _differences(picture, other)
    if gain is None:
        high = float(np.percentile(differences, _BELOW_WHITE))
        gain = next((gain for gain in _GAINS if high * gain <= 255), 1) if high else 1
    return ErrorMap(differences, gain)


def _differences(picture: Pixels, other: Pixels) -> Pixels:
    red, green, blue = np.moveaxis(cv2.absdiff(picture, other), -1, 0)
    # Twenty times as fast as asking for the largest along an axis of three.
    return np.maximum(np.maximum(red, green), blue)


def most_different(picture: Pixels, other: Pixels, height: int, width: int) -> tuple[slice, slice]:
    """Find the window, rows and columns, in which two pictures differ most on average.

    In large pictures it is found to within a few pixels.
    """
    differences = _differences(picture, other)
    rows, columns = differences.shape
    height, width = min(height, rows), min(width, columns)
    # Sums take 16 bytes a pixel and more, which a hundred megapixels need not cost.
    step = -(-max(rows, columns) // _SEARCHED_SIDE)
    small = fit(differences, max(1, max(rows, columns) // step))
    tall, wide = (max(1, min(small.shape[i], n // step)) for i, n in enumerate((height, width)))
    sums = cv2.integral(small, sdepth=cv2.CV_64F)
    windows = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    place = np.unravel_index(int(windows.argmax()), windows.shape)
    top, left = min(int(place[0]) * step, rows - height), min(int(place[1]) * step, columns - width)
    return slice(top, top + height), slice(left, left + width)


def data_uri(pixels: Pixels, *, exact: bool = True) -> str:
    """Encode H x W x 3 into an address that holds the picture itself, lossless if `exact`."""
    image = Image.fromarray(pixels)
    webp = features.check("webp")
    if exact and webp:
        # For lossless WebP, quality is effort: the best saves 2 % more in five times the time.
        return _address(image, "WEBP", lossless=True, quality=20, method=1)
    if exact:
        return _address(image, "PNG")
    if webp:
        return _address(image, "WEBP", quality=LOSSY_QUALITY)
    return _address(image, "JPEG", quality=LOSSY_QUALITY, subsampling=0)


def error_uri(errors: ErrorMap, max_side: int) -> tuple[str, tuple[int, int]]:
    """Encode an error map, in false colours, into an address; give its height and width, too."""
    levels = fit(errors.differences, max_side).astype(np.uint16) * errors.gain
    colours = error_colours()[levels.clip(0, 255)]
    return data_uri(colours), (colours.shape[0], colours.shape[1])


def error_colours() -> Pixels:
    """Give the 256 colours of error maps, from none to the brightest: 256 x 3, sRGB."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    bgr = np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), np.uint8)
    return np.ascontiguousarray(bgr[:, 0, ::-1])


def _address(image: Image.Image, format: str, **options: int | bool) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{format.lower()};base64,{encoded}"
