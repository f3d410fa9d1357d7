"""Grain that is given back to denoised photographs: a blend with the input, and what else could.

    python benchmarks/keep_grain.py PHOTOS [--count 8] [--kind camera] [--keep 0.3]

The middle 256 x 256 pixels of photographs get noise and are denoised by the default checkpoint;
each way then gives back so much of what was removed that its luma deviates in flat regions by
`--keep` of what all that was removed does (or, with `--of rgb`, its three channels). At that one
amount of grain are compared: PSNR and SSIM over RGB, and by how much the chroma deviates there from
the clean picture's, in steps of 255. A Markdown table of means. The ways, for noisy y, denoised d
and residual r = y - d:

* blend: d + a r, which is `--strength` 1 - a;
* luma: d + a Y(r), in all three channels: grain without colour; this is `--keep-grain` a;
* fine luma: of Y(r) what a Gaussian of sigma 2 leaves out, so that no blotches come back;
* lost texture: d + (a + (1 - a) w) Y(r), with w the share of the residual's local variance that is
  above what noise has there: where structure went with the noise, more of it comes back.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
from numpy.typing import NDArray

from drcnet_cli.degrade import degrade
from drcnet_cli.imageio.folder import find_pictures, read_rgb8
from drcnet_cli.metrics import psnr, ssim
from drcnet_cli.restore.config import RestoreConfig, open_restorer

Array = NDArray[np.float32]
Way = Callable[[Array, float], Array]  # of a residual and an amount: what is given back

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SIDE = 256
FLAT_SHARE = 0.2  # of a picture's pixels, those around which the clean one is the most even


def luma(picture: Array) -> Array:
    """Return H x W x 1."""
    return (picture @ LUMA)[..., None]


def blurred(picture: Array, sigma: float) -> Array:
    """Return H x W x C of H x W x C."""
    return cv2.GaussianBlur(picture, (0, 0), sigma).reshape(picture.shape)


def flat_places(clean: Array) -> NDArray[np.bool_]:
    """Return where a picture is even, H x W."""
    y = luma(clean)
    spread = blurred(y * y, 3) - blurred(y, 3) ** 2
    return (spread <= np.quantile(spread, FLAT_SHARE))[..., 0]


def fine_luma(residual: Array, amount: float) -> Array:
    """Give back luma without its coarse part."""
    y = luma(residual)
    return amount * np.repeat(y - blurred(y, 2), 3, 2)


def lost_texture(residual: Array, amount: float) -> Array:
    """Give back luma, and more of it where the residual holds more than noise."""
    y = luma(residual)
    power = blurred(y * y, 2)
    noise = np.median(power)  # most of a picture's residual is noise alone
    share = np.clip((power - 1.5 * noise) / np.maximum(power, 1e-9), 0, 1)
    return (amount + (1 - amount) * share) * np.repeat(y, 3, 2)


WAYS: dict[str, Way] = {
    "blend (`--strength`)": lambda residual, amount: amount * residual,
    "luma": lambda residual, amount: amount * np.repeat(luma(residual), 3, 2),
    "fine luma": fine_luma,
    "lost texture": lost_texture,
}


def deviation(error: Array, flat: NDArray[np.bool_]) -> float:
    """Return the deviation of H x W x C in flat places, all channels together."""
    return float(np.sqrt(np.mean((error - blurred(error, 4))[flat] ** 2)))


def _seen(part: Callable[[Array], Array], flat: NDArray[np.bool_], added: Array) -> float:
    return deviation(part(added), flat)


def chroma(error: Array) -> Array:
    """Return what a picture's channels have beside luma."""
    return error - luma(error)


def amount_for(way: Way, residual: Array, seen: Callable[[Array], float], keep: float) -> float:
    """Find the amount, from 0 to 2, that gives back this share of the grain that is seen."""
    low, high = 0.0, 2.0
    for _ in range(24):
        middle = (low + high) / 2
        enough = seen(way(residual, middle)) >= keep * seen(residual)
        low, high = (low, middle) if enough else (middle, high)
    return low


def measure(picture: Array, clean: Array, flat: NDArray[np.bool_]) -> tuple[float, ...]:
    """Return PSNR, SSIM and the chroma's deviation in flat places."""
    tinted = 255 * deviation(chroma(picture - clean), flat)
    return psnr(picture, clean), ssim(picture, clean), tinted


def noisy_crop(path: Path, kind: str, seed: int) -> tuple[Array, Array]:
    """Return the middle of a photograph with noise and clean, each H x W x 3."""
    photograph = read_rgb8(path).astype(np.float32) / 255
    top, left = ((length - SIDE) // 2 for length in photograph.shape[:2])
    crop = photograph[top : top + SIDE, left : left + SIDE].transpose(2, 0, 1)
    pair = degrade(np.ascontiguousarray(crop), kind, np.random.default_rng(seed))
    noisy, clean = (picture.transpose(1, 2, 0) for picture in (pair.degraded, pair.clean))
    return np.ascontiguousarray(noisy), np.ascontiguousarray(clean)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--kind", default="camera")
    parser.add_argument("--keep", type=float, default=0.3)
    parser.add_argument("--of", choices=["luma", "rgb"], default="luma")
    asked = parser.parse_args()
    restorer = open_restorer(RestoreConfig("denoise", dtype="float32"))
    paths = find_pictures(asked.photographs)
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in ("noisy", "denoised", *WAYS)}
    for number in range(asked.count):
        noisy, clean = noisy_crop(paths[len(paths) * number // asked.count], asked.kind, number)
        denoised = restorer.restore(noisy)
        residual, flat = noisy - denoised, flat_places(clean)
        seen = partial(_seen, luma if asked.of == "luma" else np.asarray, flat)
        rows["noisy"].append((1, *measure(noisy, clean, flat)))
        rows["denoised"].append((0, *measure(denoised, clean, flat)))
        for name, way in WAYS.items():
            amount = amount_for(way, residual, seen, asked.keep)
            result = np.clip(denoised + way(residual, amount), 0, 1)
            rows[name].append((amount, *measure(result, clean, flat)))
    print(f"| way | amount | PSNR | SSIM | chroma | ({asked.kind}, {asked.keep} of {asked.of})")
    print("|---|---|---|---|---|")
    for name, found in rows.items():
        amount, decibels, similarity, tinted = map(fmean, zip(*found, strict=True))
        print(f"| {name} | {amount:.2f} | {decibels:.2f} | {similarity:.4f} | {tinted:.2f} |")


if __name__ == "__main__":
    main()
