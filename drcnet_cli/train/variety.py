"""Clean photographs cut at many scales and in many colours: a few hundred stand for many more.

Photographs published today are colourful down to the finest detail. Many of the pictures that
people restore are not: most JPEGs store colour at half resolution; film, scans, dull days and old
cameras mute it. A network that has only seen vivid detail makes too little of what red, green and
blue have in common in such pictures.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from drcnet_cli.degrade.base import LUMA, Array, chance, log_uniform
from drcnet_cli.imageio.folder import Pixels
from drcnet_cli.train.samples import cut

# How often a crop is shrunk, and at most to what share of its size.
_SHRUNK_SHARE, _SMALLEST = 0.7, 0.35
# How often the more detailed one of two crops is taken: there is less to learn from empty skies.
_CHOSEN_SHARE = 0.7
# How often colour differences are weakened (by a factor drawn from 0 to 1), and blurred.
_MUTED_SHARE, _HALVED_SHARE = 0.5, 0.3


def cut_scaled(picture: Pixels, patch: int, rng: np.random.Generator) -> Pixels:
    """Cut a random patch x patch square out of H x W x 3, often from a shrunk copy of the picture.

    The scale, 0.35 to 1, keeps the square within the picture; areas are averaged, so that the
    result is as crisp as a smaller photograph of the scene.
    """
    least = max(_SMALLEST, patch / max(patch, min(picture.shape[:2])))
    scale = log_uniform(rng, (least, 1)) if chance(rng, _SHRUNK_SHARE) else 1.0
    window = cut((picture,), round(patch / scale), rng)[0]
    if chance(rng, _CHOSEN_SHARE):
        other = cut((picture,), round(patch / scale), rng)[0]
        window = max(window, other, key=_detail)
    if window.shape[0] == patch:
        return window
    return np.asarray(cv2.resize(window, (patch, patch), interpolation=cv2.INTER_AREA), np.uint8)


def _detail(window: Pixels) -> float:
    """Measure how much green changes from one row to the next, on average."""
    return float(cv2.absdiff(window[1:, :, 1], window[:-1, :, 1]).mean())


def vary_colour(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Mute the colours of 3 x H x W in [0, 1] in many draws, and blur them as JPEG does in some.

    Luma (BT.601) stays as it is, but for what clipping takes.
    """
    muted, halved = chance(rng, _MUTED_SHARE), chance(rng, _HALVED_SHARE)
    if not (muted or halved):
        return image
    luma = np.tensordot(LUMA, image, 1)
    differences = image - luma
    if halved:
        differences = _halve(differences)
    if muted:
        differences *= np.float32(rng.random())
    return np.clip(luma + differences, 0, 1, dtype=np.float32)


def _halve(differences: Array) -> Array:
    """Store 3 x H x W at half the resolution and bring it back, as chroma subsampling does."""
    height, width = differences.shape[1:]
    size = (-(-width // 2), -(-height // 2))
    planes = np.ascontiguousarray(differences.transpose(1, 2, 0))
    small = cv2.resize(planes, size, interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(back.transpose(2, 0, 1))
