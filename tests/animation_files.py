"""Animations made by Pillow or chunk by chunk, and what is to be seen of them: an own composer."""

import struct
from io import BytesIO

import numpy as np
from image_fixtures import png, png_chunk
from PIL import Image

from drcnet_cli.imageio import Several, read_pictures, writing_several

LOSSLESS = {"GIF": {}, "PNG": {}, "WEBP": {"lossless": True, "exact": True}}


def few_colours(seed: int, size=(30, 20), colours=4) -> np.ndarray:
    """Noise in few colours, which GIF holds exactly."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, colours, (size[1], size[0], 3), np.uint8) * (255 // colours)


def animation(format: str, frames, **options) -> bytes:
    """Encode arrays by Pillow, without loss."""
    images = [Image.fromarray(frame) for frame in frames]
    buffer = BytesIO()
    options = {**LOSSLESS[format], "duration": 50, **options}
    images[0].save(buffer, format, save_all=True, append_images=images[1:], **options)
    return buffer.getvalue()


def opened(data: bytes, pages=None) -> Several:
    several = read_pictures(BytesIO(data), pages=pages)
    assert isinstance(several, Several)
    return several


def rgba(picture) -> np.ndarray:
    """A picture as H x W x 4, colours that nobody sees black."""
    alpha = picture.alpha
    if alpha is None:
        alpha = np.full(picture.pixels.shape[:2], np.iinfo(picture.pixels.dtype).max)
    pixels = np.broadcast_to(picture.pixels, (*alpha.shape, 3))
    return seen(np.dstack((pixels, alpha.astype(pixels.dtype))))


def seen(array: np.ndarray) -> np.ndarray:
    return np.where(array[..., 3:] == 0, 0, array)


def by_pillow(data: bytes) -> list[np.ndarray]:
    image, frames = Image.open(BytesIO(data)), []
    for number in range(image.n_frames):
        image.seek(number)
        frames.append(seen(np.asarray(image.convert("RGBA"))))
    return frames


def times(data: bytes) -> list[float]:
    image, found = Image.open(BytesIO(data)), []
    for number in range(image.n_frames):
        image.seek(number)
        image.load()
        found.append(image.info["duration"])
    return found


def rewritten(data: bytes, format: str, **options) -> tuple[bytes, list[str]]:
    """Read an animation or pages and write them as they are."""
    several, buffer = opened(data), BytesIO()
    with writing_several(several, buffer, format=format, **options) as writer:
        for picture, seconds in several:
            writer.add(picture, seconds)
    return buffer.getvalue(), writer.notes


def apng(size, parts, plays=0, more=b"") -> bytes:
    """Make an APNG of (array, left, top, after 0..2, over 0..1) on a canvas of `size`."""
    stills = [png(array) for array, *_ in parts]
    header = struct.pack(">II", *size) + stills[0][24:29]
    out = [b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", header)]
    out += [png_chunk(b"acTL", struct.pack(">II", len(parts), plays)), more]
    number = 0
    for still, (array, left, top, after, over) in zip(stills, parts, strict=True):
        sides = struct.pack(">IIII", array.shape[1], array.shape[0], left, top)
        place = struct.pack(">I", number) + sides + struct.pack(">HHBB", 1, 20, after, over)
        out.append(png_chunk(b"fcTL", place))
        first, number = number == 0, number + 1
        for body in _pixels(still):
            if first:
                out.append(png_chunk(b"IDAT", body))
            else:
                out.append(png_chunk(b"fdAT", struct.pack(">I", number) + body))
                number += 1
    return b"".join([*out, png_chunk(b"IEND", b"")])


def _pixels(still: bytes):
    at = 8
    while at < len(still):
        size, kind = struct.unpack_from(">I4s", still, at)
        if kind == b"IDAT":
            yield still[at + 8 : at + 8 + size]
        at += 12 + size


def composed(size, parts) -> list[np.ndarray]:
    """What is seen of such parts, pixel by pixel in exact numbers, as the specification says."""
    canvas = np.zeros((size[1], size[0], 4))
    frames = []
    for array, left, top, after, over in parts:
        before = canvas.copy()
        for y, x in np.ndindex(array.shape[:2]):
            new, old = array[y, x] / 255, canvas[top + y, left + x]
            share = 1 - new[3] if over else 0
            total = new[3] + old[3] * share
            mixed = (new[:3] * new[3] + old[:3] * old[3] * share) / (total or 1)
            canvas[top + y, left + x] = [*mixed, total]
        frames.append(seen(np.rint(canvas * 255).astype(np.uint8)))
        box = slice(top, top + array.shape[0]), slice(left, left + array.shape[1])
        if after == 2:
            canvas = before
        elif after == 1:
            canvas[box] = 0
    return frames
