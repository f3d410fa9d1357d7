"""Folders of pictures in plain 8-bit RGB: found, read for computing or for display, written."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from drcnet_cli.errors import ImageError
from drcnet_cli.files.addresses import Place
from drcnet_cli.files.atomic import atomic_write, refusal
from drcnet_cli.files.discover import is_hidden
from drcnet_cli.imageio.formats import is_image_name
from drcnet_cli.imageio.picture import Picture
from drcnet_cli.imageio.pixels import to_uint8
from drcnet_cli.imageio.read import read_picture
from drcnet_cli.imageio.several import read_first
from drcnet_cli.imageio.transparency import Colour, laid_on

Pixels = NDArray[np.uint8]


def find_pictures(folder: Path) -> list[Path]:
    """List the pictures below a folder, sorted by name, but for hidden files and folders."""
    found = [
        path
        for path in folder.rglob("*")
        if is_image_name(path)
        and not any(map(is_hidden, path.relative_to(folder).parts))
        and path.is_file()
    ]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def name_pictures(folder: Path) -> dict[str, Path]:
    """List the pictures below a folder by their names there: paths in POSIX style."""
    return {path.relative_to(folder).as_posix(): path for path in find_pictures(folder)}


def read_rgb8(path: Place, background: Colour | None = None) -> Pixels:
    """Decode a picture to H x W x 3, 8-bit RGB, upright; raises ImageError naming the file.

    Transparency is laid on `background`, and left out where that is None.
    """
    return _three_channels(to_uint8(_opaque(read_picture(path), background)))


def read_for_display(path: Place, background: Colour | None = None, number: int = 1) -> Pixels:
    """Read a picture as a browser would show it: upright, 8 bits, sRGB; H x W x 3.

    Transparency is laid on `background`, and left out where that is None. `number`: which one of a
    file of several. A colour profile that cannot be used is ignored. Raises ImageError naming the
    file.
    """
    picture = read_first(path, number=number)
    pixels = to_uint8(_opaque(picture, background))
    if picture.metadata.icc:
        pixels = _to_srgb(pixels, picture.metadata.icc)
    return _three_channels(pixels)


def read_mask(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read a mask, white where damaged, for a picture of a shape: H x W x 1 uint8.

    Of colours the brightest channel counts. Raises ImageError for one of another size.
    """
    mask = read_rgb8(path).max(2, keepdims=True)
    if mask.shape[:2] != shape[:2]:
        sizes = [f"{width} x {height}" for height, width in (mask.shape[:2], shape[:2])]
        raise ImageError(
            f"its mask {path} is {sizes[0]} pixels, not {sizes[1]}.",
            "A mask shows the same as its picture, upright: white where damaged",
        )
    return mask


def _opaque(picture: Picture, background: Colour | None) -> np.ndarray:
    if background is None or picture.alpha is None:
        return picture.pixels
    return laid_on(picture, background)


def _three_channels(pixels: Pixels) -> Pixels:
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


def write_png(
    path: Path, pixels: Pixels, finish: Callable[[Path], object] = lambda _: None
) -> None:
    """Write H x W x 3 uint8, a picture that was made here, as a PNG, whole or not at all.

    `finish` gets the whole file before it takes its name. Raises ImageError, or StorageError where
    no other file could be written either.
    """
    try:
        with atomic_write(path) as temporary:
            # Level 1 is a few per cent larger than the best and many times as fast.
            content = Image.fromarray(np.ascontiguousarray(pixels))
            content.save(temporary, format="PNG", compress_level=1)
            finish(temporary)
    except OSError as error:
        raise refusal(path, error) from error
