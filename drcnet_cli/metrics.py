"""PSNR and SSIM in each variant that the restoration literature reports.

Two papers' figures for one image differ by these choices, so each has a name here:

| choice                       | name                  | who reports it                           |
|------------------------------|-----------------------|------------------------------------------|
| all three channels           | `channel="rgb"`       | denoising and deblurring                 |
| luma, not rounded            | `channel="y"`         | BasicSR, HINet, the released DRCNet code |
| luma, rounded to 8 bits      | `channel="y8"`        | MATLAB scripts of deraining papers       |
| luma of 0..255, rounded      | `channel="yfull8"`    | AGAN's code (raindrops), by OpenCV       |
| 8-bit rounding first         | `rounded=True`        | results saved as PNG and read back       |
| float results                | `rounded=False`       | PSNR of the network's output             |
| 11x11 window, inside only    | `variant="valid"`     | Wang et al. 2004, BasicSR                |
| 11x11 window, edges repeated | `variant="replicate"` | luma SSIM of HINet, DRCNet               |
| 7x7 window, equal weights    | `variant="uniform"`   | AGAN's code (raindrops), by scikit-image |
| the same, range taken as 2   | `variant="wide"`      | SPANet's code, by scikit-image           |
| 11x11x11 window over H, W, C | `variant="3d"`        | RGB SSIM of HINet, DRCNet                |

Images are H x W x 3 in RGB order: uint8, or floating point in [0, 1].
"""

import math
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from drcnet_cli.errors import UsageError

Channel: TypeAlias = Literal["rgb", "y", "y8", "yfull8"]
SsimVariant: TypeAlias = Literal["valid", "replicate", "uniform", "wide", "3d"]
CHANNELS: tuple[Channel, ...] = ("rgb", "y", "y8", "yfull8")
SSIM_VARIANTS: tuple[SsimVariant, ...] = ("valid", "replicate", "uniform", "wide", "3d")

# ITU-R BT.601 luma of R, G, B in [0, 1], in studio range 16..235, as MATLAB's rgb2ycbcr has it.
_LUMA = np.array([65.481, 128.553, 24.966])
_LUMA_OFFSET = 16.0
_FULL_LUMA = np.array([0.299, 0.587, 0.114])  # the same over 0..255, as JPEG and OpenCV have it

_PEAK = 255.0
EQUAL_PSNR = 100.0  # as which equal pictures count in a mean, dB
# Wang et al. 2004, section III-C.
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2
_RADIUS, _SIGMA = 5, 1.5
_UNIFORM = ("uniform", "wide")
_UNIFORM_RADIUS = 3  # scikit-image's window, of which it takes the sample covariance

# A float image this far outside [0, 1] was not scaled; a network's overshoot stays well below.
_UNSCALED = 16.0


def psnr(
    image: NDArray[Any], target: NDArray[Any], *, channel: Channel = "rgb", rounded: bool = True
) -> float:
    """Return the peak signal-to-noise ratio in dB, infinity for equal images.

    The peak is 255 (1.0 for float images), for luma too, and the squared error is averaged over all
    pixels and channels before the logarithm. `rounded` clips float images to [0, 1] and rounds them
    to 8 bits first, as saving them would; otherwise they are compared as they are.

    Raises `UsageError` for images that cannot be compared: see the module's description.
    """
    first, second = _prepare(image, target, channel, rounded)
    mean_squared_error = float(np.mean(np.square(first - second)))
    if mean_squared_error == 0.0:
        return math.inf
    return 10.0 * math.log10(_PEAK**2 / mean_squared_error)


def ssim(
    image: NDArray[Any],
    target: NDArray[Any],
    *,
    variant: SsimVariant = "valid",
    channel: Channel = "rgb",
    rounded: bool = True,
) -> float:
    """Return the mean structural similarity, 1 for equal images.

    Gaussian window of 11 pixels a side, sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance.
    `valid` averages the positions where the window fits (and needs 11 x 11 pixels), `replicate` all
    pixels of an image whose edges are repeated, both per channel, then over the channels. `uniform`
    is `valid` with a window of 7 pixels a side, equal weights and the sample covariance; `wide` is
    that with constants for values of -1 to 1, which scikit-image assumes of floating-point images
    where nobody says otherwise, although they are in 0 to 1: larger figures. `3d` has
    the window reach across the channels, repeated at their ends as well, and is for `rgb` alone.
    `rounded` is `psnr`'s.

    Sources: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 13(4), 2004; `basicsr/metrics/psnr_ssim.py` of BasicSR, and of
    HINet, whose `3d` follows MATLAB's `ssim` of an RGB array.

    Raises `UsageError` for images that cannot be compared and for luma with `3d`.
    """
    if variant not in SSIM_VARIANTS:
        raise UsageError(
            f"There is no SSIM variant {variant!r}.", f"Choose from {', '.join(SSIM_VARIANTS)}."
        )
    if variant == "3d" and channel != "rgb":
        raise UsageError(
            f"The 3d variant of SSIM needs all three channels, not {channel!r}.",
            "Choose channel 'rgb', or variant 'valid' or 'replicate'.",
        )
    first, second = _prepare(image, target, channel, rounded)
    side = 2 * (_UNIFORM_RADIUS if variant in _UNIFORM else _RADIUS) + 1
    if variant in ("valid", *_UNIFORM) and min(first.shape[:2]) < side:
        height, width = first.shape[:2]
        raise UsageError(
            f"An image of {width}x{height} pixels is smaller than SSIM's {side}x{side} window.",
            "Choose the variant 'replicate', which repeats the edges.",
        )
    if variant == "3d":
        return _mean_ssim(first, second, variant)
    planes = range(first.shape[2])
    return sum(_mean_ssim(first[..., c], second[..., c], variant) for c in planes) / len(planes)


def luma(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the BT.601 luma, H x W in 16..235 and not rounded, of RGB values in 0..255."""
    return image @ (_LUMA / _PEAK) + _LUMA_OFFSET


def _mean_ssim(first: NDArray[Any], second: NDArray[Any], variant: SsimVariant) -> float:
    """Average the SSIM map of two H x W planes, or of two H x W x 3 volumes for `3d`."""
    return float(np.mean(ssim_map(first, second, variant)))


def ssim_map(
    first: NDArray[Any], second: NDArray[Any], variant: SsimVariant
) -> NDArray[np.float64]:
    """Return the SSIM around each position of H x W (x C) floating-point values in 0..255.

    Channels are taken one by one, except for `3d`; `valid` gives those where the window fits.
    """
    # Centred: local variances are small differences of large squares.
    first, second = first - _PEAK / 2, second - _PEAK / 2
    mean_1, mean_2 = _window_mean(first, variant), _window_mean(second, variant)
    product = mean_1 * mean_2
    squares = mean_1 * mean_1 + mean_2 * mean_2
    # Only the sum of the two variances is needed: four filters instead of five.
    covariance = _window_mean(first * second, variant) - product
    variances = _window_mean(first * first + second * second, variant) - squares
    if variant in _UNIFORM:
        count = (2 * _UNIFORM_RADIUS + 1) ** 2
        covariance, variances = (x * count / (count - 1) for x in (covariance, variances))
    # Luminance takes the means as they were before centring.
    mean_1 += _PEAK / 2
    mean_2 += _PEAK / 2
    product, squares = mean_1 * mean_2, mean_1 * mean_1 + mean_2 * mean_2
    c1, c2 = (4.0 * _C1, 4.0 * _C2) if variant == "wide" else (_C1, _C2)
    luminance = (2.0 * product + c1) / (squares + c1)
    structure = (2.0 * covariance + c2) / (variances + c2)
    return luminance * structure


def _window_mean(values: NDArray[Any], variant: SsimVariant) -> NDArray[np.float64]:
    """Average over the Gaussian window around each position, cropped to where it fits if valid."""
    if variant in _UNIFORM:
        side, edge = 2 * _UNIFORM_RADIUS + 1, _UNIFORM_RADIUS
        return cv2.blur(values, (side, side))[edge:-edge, edge:-edge].astype(np.float64)
    kernel = _gaussian()
    mean = cv2.sepFilter2D(values, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    if variant == "valid":
        mean = mean[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    if variant == "3d":
        mean = cv2.transform(mean, _channel_window())
    return mean.astype(np.float64, copy=False)


def _gaussian() -> NDArray[np.float64]:
    """Return the window along one axis, its sum 1."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    weights = np.exp(-(offsets**2) / (2.0 * _SIGMA**2))
    return weights / weights.sum()


def _channel_window() -> NDArray[np.float64]:
    """Return the 3 x 3 matrix that the window amounts to across three channels, ends repeated."""
    matrix = np.zeros((3, 3))
    for row in range(3):
        sources = np.clip(np.arange(row - _RADIUS, row + _RADIUS + 1), 0, 2)
        np.add.at(matrix[row], sources, _gaussian())
    return matrix


def _prepare(
    image: NDArray[Any], target: NDArray[Any], channel: Channel, rounded: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check the pair and give both as H x W x C float64 in 0..255."""
    if channel not in CHANNELS:
        raise UsageError(f"There is no channel {channel!r}.", f"Choose from {', '.join(CHANNELS)}.")
    check_pair(image, target)
    first, second = _levels(image, rounded), _levels(target, rounded)
    if channel == "rgb":
        return first, second
    if channel == "yfull8":
        first, second = (np.floor(x @ _FULL_LUMA + 0.5)[..., None] for x in (first, second))
        return first, second
    first, second = luma(first)[..., None], luma(second)[..., None]
    if channel == "y8":
        # MATLAB rounds halves up; numpy's rint would round them to even.
        first, second = np.floor(first + 0.5), np.floor(second + 0.5)
    return first, second


def check_pair(image: NDArray[Any], target: NDArray[Any]) -> None:
    """Raise `UsageError` unless the two are comparable H x W x 3 arrays."""
    for array in (image, target):
        if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
            raise UsageError(
                f"An image to compare has the shape {array.shape}, not height x width x 3.",
                "Repeat a gray image three times: numpy.stack([gray] * 3, axis=-1).",
            )
        if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
            raise UsageError(
                f"An image to compare has the type {array.dtype}, not uint8 or floating point.",
                "Scale it to floating point in [0, 1]: 16-bit values are divided by 65535.",
            )
    if image.shape != target.shape:
        sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (image, target)]
        raise UsageError(
            f"The images differ in size: {sizes[0]} and {sizes[1]} (width x height).",
            "Compare images of one size; nothing is resized or cropped silently.",
        )
    if (image.dtype == np.uint8) != (target.dtype == np.uint8):
        raise UsageError(
            f"The images differ in type: {image.dtype} and {target.dtype}.",
            "Divide the uint8 image by 255, or convert both to uint8.",
        )


def _levels(array: NDArray[Any], rounded: bool) -> NDArray[np.float64]:
    """Return values in 0..255, float images checked, and rounded if asked for."""
    if array.dtype == np.uint8:
        return array.astype(np.float64)
    # NaN and infinity compare as not below the limit.
    if not np.abs(array).max() < _UNSCALED:
        raise UsageError(
            "A floating-point image holds NaN, infinity or values far outside [0, 1].",
            "Divide values in 0..255 by 255; a network that gives NaN needs --dtype float32.",
        )
    levels = array.astype(np.float64) * _PEAK
    return np.rint(levels.clip(0.0, _PEAK)) if rounded else levels
