"""Alpha around a restoration, and where a format holds none.

Under full transparency stands any colour, often black or white. A network looks further than a
pixel, so it would carry that colour into the visible edge beside it.
"""

import cv2
import numpy as np
from PIL import ImageColor

from drcnet_cli.errors import UsageError
from drcnet_cli.imageio.picture import Picture, peak_value

Colour = tuple[int, int, int]
_BAND = 256  # rows composed at a time


def parse_colour(text: str) -> Colour:
    """Return 8-bit red, green and blue of a name or #rrggbb; raises UsageError for others."""
    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError:
        raise UsageError(
            f"--background cannot be {text!r}.", "Use a name, as white, or #rrggbb"
        ) from None
    return red, green, blue


def visible_pixels(picture: Picture) -> np.ndarray:
    """Return the pixels with the nearest visible colour under full transparency.

    Without any such place, or any visible one, they are the picture's own, not a copy.
    """
    if picture.alpha is None:
        return picture.pixels
    hidden = picture.alpha == 0
    if not hidden.any() or hidden.all():
        return picture.pixels
    _, labels = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    seen = ~hidden
    # Every visible pixel has a label of its own; which pixel that is, by label.
    place = np.zeros(int(labels.max()) + 1, np.int64)
    place[labels[seen]] = np.flatnonzero(seen)
    flat = picture.pixels.reshape(-1, picture.pixels.shape[2])
    filled = picture.pixels.copy()
    filled[hidden] = flat[place[labels[hidden]]]
    return filled


def keep_hidden(restored: np.ndarray, picture: Picture) -> np.ndarray:
    """Put back, in place, the input's colours under full transparency; return `restored`."""
    if picture.alpha is not None:
        hidden = picture.alpha == 0
        restored[hidden] = picture.pixels[hidden]
    return restored


def is_opaque(picture: Picture) -> bool:
    """Tell whether alpha, if there is any, hides nothing."""
    alpha = picture.alpha
    return alpha is None or bool((alpha == peak_value(alpha.dtype)).all())


def laid_on(picture: Picture, colour: Colour) -> np.ndarray:
    """Return H x W x C of the picture laid on one colour; gray stays gray on gray."""
    pixels, alpha = picture.pixels, picture.alpha
    assert alpha is not None
    if pixels.shape[2] == 1 and len(set(colour)) > 1:
        pixels = np.repeat(pixels, 3, axis=2)
    peak = np.float32(peak_value(pixels.dtype))
    ground = np.asarray(colour[: pixels.shape[2]], np.float32) * (peak / 255)
    laid = np.empty_like(pixels)
    for top in range(0, len(pixels), _BAND):
        rows = slice(top, top + _BAND)
        share = alpha[rows, :, None].astype(np.float32) / peak
        mixed = pixels[rows] * share + ground * (1 - share)
        laid[rows] = mixed if pixels.dtype == np.float32 else np.rint(mixed)
    return laid
