"""RealBlur's comparison: a result is brought onto its target before the two are compared.

The two cameras of RealBlur do not quite see the same, so the set's authors align each result with
its target and compare where they overlap. Facts from `evaluation_RealBlur_ecc.py` of the set's code
(rimchang/RealBlur), which `Deblurring/evaluate_RealBlur.py` of MPRNet repeats: pictures in [0, 1];
the result is scaled to the target's brightness by least squares; a homography by OpenCV's ECC
(Evangelidis and Psarakis, PAMI 2008) on gray pictures, 100 iterations, no threshold, Gaussian
filter of 5; bicubic warp, edges reflected; an overlap of whole pixels (nearest); nothing is
rounded or clipped afterwards. The published code asks for OpenCV 4.2 and scikit-image 0.17; others
move the result of single pictures by some 0.001 dB.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from drcnet_cli.datasets.search import Array
from drcnet_cli.errors import UsageError
from drcnet_cli.imageio.pixels import to_unit
from drcnet_cli.metrics import check_pair, ssim_map
from drcnet_cli.tasks import Protocol

_ITERATIONS = 100
_FILTER = 5  # pixels: the Gaussian filter that ECC puts both pictures through first
_WINDOW = 11  # SSIM's


@dataclass(frozen=True)
class Alignment:
    """A result brought onto its target.

    `picture`: H x W x 3 float32, around [0, 1]. `overlap`: H x W float32, 1 where the result
    reaches and 0 elsewhere. `converged`: False if no homography was found: the result as it was.
    """

    picture: Array
    overlap: Array
    converged: bool


def aligned_scores(
    restored: Array,
    target: Array,
    protocol: Protocol,
    *,
    notify: Callable[[str], None] = lambda _: None,
) -> tuple[float, float]:
    """Return PSNR in dB and SSIM of two H x W x 3 uint8 pictures, where they overlap once aligned.

    If no alignment is found, where the published code ends with an error, they are compared as
    they lie, and `notify` gets a sentence about "it". Raises UsageError for pictures of two sizes
    or too small, and a protocol other than RGB with SSIM `valid`, the only one published.
    """
    _check(restored, target, protocol)
    alignment = align(restored, target)
    if not alignment.converged:
        notify("it could not be aligned with its target and is compared as it lies.")
    overlap = alignment.overlap[..., None].astype(np.float64)
    first, second = alignment.picture * overlap, to_unit(target) * overlap
    squared = float(np.square(first - second).sum() / (3 * overlap.sum()))
    psnr = math.inf if squared == 0 else -10 * math.log10(squared)
    # Where windows reach over an edge nothing is counted.
    inside = (slice(_WINDOW // 2, -(_WINDOW // 2)),) * 2
    weights = overlap[inside]
    similarity = (ssim_map(255 * first, 255 * second, "replicate")[inside] * weights).sum() / (
        3 * weights.sum()
    )
    return psnr, float(similarity)


def align(restored: Array, target: Array) -> Alignment:
    """Bring a result onto its target, both H x W x 3 uint8 of one size."""
    picture, wanted = to_unit(restored), to_unit(target)
    as_it_lies = Alignment(picture, np.ones(picture.shape[:2], np.float32), converged=False)
    energy = np.square(picture).sum(dtype=np.float64)
    if energy == 0:
        return as_it_lies
    if np.array_equal(picture, wanted):  # no processor's rounding then comes between
        return replace(as_it_lies, converged=True)
    picture = picture * np.float32((wanted * picture).sum(dtype=np.float64) / energy)
    homography = _homography(picture, wanted)
    if homography is None:
        return as_it_lies
    size = (picture.shape[1], picture.shape[0])
    warped = cv2.warpPerspective(
        picture,
        homography,
        size,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    overlap = cv2.warpPerspective(
        as_it_lies.overlap,
        homography,
        size,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    inner = overlap[_WINDOW:-_WINDOW, _WINDOW:-_WINDOW]
    return Alignment(warped, overlap, converged=True) if inner.any() else as_it_lies


def _homography(picture: Array, target: Array) -> Array | None:
    """Find where the target's pixels lie in the picture; None if ECC does not converge."""
    no_mask: Any = None  # OpenCV takes it, its annotations do not
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, 0.0)
    try:
        _, homography = cv2.findTransformECC(
            cv2.cvtColor(target, cv2.COLOR_RGB2GRAY),
            cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY),
            np.eye(3, dtype=np.float32),
            cv2.MOTION_HOMOGRAPHY,
            criteria,
            no_mask,
            _FILTER,
        )
    except cv2.error:
        return None
    return homography if np.isfinite(homography).all() else None


def _check(restored: Array, target: Array, protocol: Protocol) -> None:
    channels = {protocol.psnr_channel, protocol.ssim_channel}
    if channels != {"rgb"} or protocol.ssim_variant != "valid":
        raise UsageError(
            "Aligned pictures are compared in RGB with SSIM 'valid' only.",
            "Choose psnr_channel='rgb', ssim_channel='rgb' and ssim_variant='valid'.",
        )
    check_pair(restored, target)
    if min(target.shape[:2]) <= 2 * _WINDOW:
        raise UsageError(
            f"Images of {target.shape[1]}x{target.shape[0]} pixels are too small to be aligned."
        )
