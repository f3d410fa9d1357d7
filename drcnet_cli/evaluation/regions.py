"""Scores of where a picture was damaged, and of the rest.

Shadow removal's tables give an "RMSE" in CIE Lab for the shadow, outside, and all. What the scripts
behind them compute (the ISTD authors' MATLAB code, passed on ever since) is no root of squares: the
absolute differences of L, a and b are added up and averaged over a region's pixels, of all pictures
together. Lab is MATLAB's `srgb2lab`: under D50, whereto sRGB's D65 is adapted after Bradford.
"""

import math

import cv2
import numpy as np

from drcnet_cli.datasets.search import Array
from drcnet_cli.degrade.base import display_curve, look_up
from drcnet_cli.imageio.pixels import to_uint8, to_unit

# Linear sRGB to XYZ under D50 (ICC's adapted primaries), as rows X, Y and Z; and that white.
_TO_XYZ = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
_WHITE = np.array([0.96422, 1.0, 0.82521])
_BEND = (6 / 29) ** 3  # below it, CIE's cube root is a line


def region_scores(
    restored: Array, degraded: Array, target: Array, mask: Array, *, lab: bool
) -> dict[str, float]:
    """Return scores by name; pictures H x W x 3, rounded to 8 bits here, mask H x W booleans.

    `psnr_inside` and `psnr_outside` in dB, `kept_outside` that of the result to its input,
    `masked`: the mask's share; with `lab`, `lab_inside`, `lab_outside`, `lab_all`. `input_...` are
    those of the input. A region without pixels has none.
    """
    pictures = {"": to_uint8(restored), "input_": to_uint8(degraded)}
    target, scores = to_uint8(target), {"masked": float(mask.mean())}
    parts = {"inside": mask, "outside": ~mask}
    parts = {name: region for name, region in parts.items() if region.any()}
    for start, picture in pictures.items():
        for name, region in parts.items():
            scores[f"{start}psnr_{name}"] = _psnr(picture[region], target[region])
        if lab:
            apart = np.abs(to_lab(picture) - to_lab(target)).sum(2)
            for name, region in (*parts.items(), ("all", np.ones_like(mask))):
                scores[f"{start}lab_{name}"] = float(apart[region].mean())
    if "outside" in parts:
        scores["kept_outside"] = _psnr(pictures[""][~mask], pictures["input_"][~mask])
    return scores


def to_lab(pixels: Array) -> Array:
    """Turn H x W x 3 uint8 sRGB into CIE Lab, float64: L 0..100."""
    linear = look_up(display_curve().to_linear, to_unit(pixels)).astype(np.float64)
    x, y, z = cv2.split(linear @ (_TO_XYZ / _WHITE[:, None]).T)
    x, y, z = (np.where(v > _BEND, np.cbrt(v), v * (29 / 6) ** 2 / 3 + 4 / 29) for v in (x, y, z))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 2)


def _psnr(pixels: Array, target: Array) -> float:
    error = float(np.mean((pixels.astype(np.float64) - target) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
