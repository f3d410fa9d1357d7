"""Motion blur: a moving picture averaged over the exposure, in linear light as on a sensor.

The camera shifts and turns, so that the blur differs over the picture; in a share of the pictures a
softly bounded foreground moves on its own. A small share is out of focus instead. Noise is added in
linear light before the display curve, then the picture is rounded to 8 bits.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from drcnet_cli.degrade.base import (
    Array,
    Degraded,
    Range,
    chance,
    display_curve,
    log_uniform,
    look_up,
    quantize,
    to_chw,
    to_hwc,
)
from drcnet_cli.degrade.shake import Shake, draw_shake

_BORDER = cv2.BORDER_REFLECT_101


@dataclass(frozen=True)
class BlurParams:
    """Ranges that each image draws from.

    `length`: of the path in pixels, each doubling as likely. `turn`: how far turning moves the
    corners, as a multiple of that. `layers_share`: how often a foreground moves on its own; in
    `still_share` of these the camera hardly moves, as when a person walks past. `disc_share`,
    `disc`: how often the picture is out of focus, and the disc's radius in pixels.
    `highlight_share`, `highlight`: how often clipped lights are given back the brightness that the
    sensor could not hold, in multiples of white. `shot`, `read`: the noise's variance in linear
    light is `shot * light + read`.
    """

    length: Range = (2.0, 40.0)
    turn: Range = (0.0, 0.8)
    layers_share: float = 0.35
    still_share: float = 0.25
    disc_share: float = 0.06
    disc: Range = (0.8, 4.0)
    highlight_share: float = 0.3
    highlight: Range = (0.3, 3.0)
    shot: Range = (1e-6, 1e-4)
    read: Range = (1e-9, 1e-7)


MIXED = BlurParams()
LIGHT = BlurParams(length=(2.0, 10.0), disc=(0.8, 2.0))
HEAVY = BlurParams(length=(12.0, 40.0), disc=(2.0, 4.0))


def average_over(picture: Array, shake: Shake) -> Array:
    """Average H x W x C over the poses of a shake; beyond the border the picture is reflected."""
    height, width = picture.shape[:2]
    total = np.zeros_like(picture)
    x, y = shake.center
    for (right, down), angle, weight in zip(shake.shift, shake.angle, shake.weight, strict=True):
        cosine, sine = np.cos(angle), np.sin(angle)
        matrix = np.array(
            [
                [cosine, -sine, x - cosine * x + sine * y + right],
                [sine, cosine, y - sine * x - cosine * y + down],
            ]
        )
        pose = cv2.warpAffine(
            picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=_BORDER
        )
        total = cv2.scaleAdd(pose, float(weight), total)
    return total


def draw_mask(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Draw a foreground, H x W in [0, 1]: a few smooth blobs with soft borders."""
    height, width = shape
    cells = int(rng.integers(3, 6))
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    sharpness = np.float32(max(height, width) / cells / rng.uniform(2, 8))
    return np.clip(0.5 + sharpness * (field - np.float32(rng.uniform(-0.3, 0.6))), 0, 1)


def disc_kernel(radius: float) -> Array:
    """Make an out-of-focus disc with an anti-aliased rim; sums to 1."""
    half = int(np.ceil(radius + 0.5))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return disc / disc.sum()


def brighten_lights(linear: Array, amount: float) -> Array:
    """Give small clipped areas `amount` times white more light; large ones are paper or sky."""
    clipped = np.clip((linear.min(axis=2, keepdims=True) - 0.9) / np.float32(0.1), 0, 1) ** 2
    rarity = max(0.0, 1 - float(clipped.mean()) / 0.05)
    return linear * (1 + np.float32(amount * rarity) * clipped)


def motion(linear: Array, rng: np.random.Generator, params: BlurParams) -> Array:
    """Blur H x W x 3 in linear light by a random shake, with a foreground of its own in a share."""
    shape = (linear.shape[0], linear.shape[1])
    if not chance(rng, params.layers_share):
        return average_over(linear, _draw(rng, shape, params))
    still = chance(rng, params.still_share)
    behind = _draw(rng, shape, params, 0.1 if still else 1.0)
    front = _draw(rng, shape, params)
    mask = draw_mask(rng, shape)[..., None]
    # Premultiplied, so that the foreground's light spreads over the background and not the reverse.
    covered = average_over(np.concatenate([linear * mask, mask], axis=2), front)
    return covered[..., :3] + (1 - covered[..., 3:]) * average_over(linear, behind)


def _draw(
    rng: np.random.Generator, shape: tuple[int, int], params: BlurParams, share: float = 1.0
) -> Shake:
    """Draw a shake, `share` of its length."""
    length = share * log_uniform(rng, params.length)
    corner = 0.5 * float(np.hypot(*shape))
    return draw_shake(rng, shape, length, rng.uniform(*params.turn) * length / corner)


def add_blur(image: Array, rng: np.random.Generator, params: BlurParams = MIXED) -> Degraded:
    """Blur as a shaken or moving camera does; the clean image is the given one.

    Near the border the blur draws on the reflected picture: where that matters, pass a margin and
    crop both results.
    """
    clean = to_hwc(image)
    curve = display_curve()
    linear = look_up(curve.to_linear, clean)
    if chance(rng, params.highlight_share):
        linear = brighten_lights(linear, rng.uniform(*params.highlight))
    if chance(rng, params.disc_share):
        blurred = cv2.filter2D(
            linear, -1, disc_kernel(rng.uniform(*params.disc)), borderType=_BORDER
        )
    else:
        blurred = motion(linear, rng, params)
    blurred = np.clip(blurred, 0, 1)
    variance = log_uniform(rng, params.shot) * blurred + np.float32(log_uniform(rng, params.read))
    grain = np.sqrt(variance, dtype=np.float32) * rng.standard_normal(blurred.shape, np.float32)
    return Degraded(to_chw(quantize(look_up(curve.to_display, blurred + grain))), to_chw(clean))
