"""Haze by the scattering model, I = J t + A (1 - t) with t = exp(-beta d) (Koschmieder 1924).

Ranges follow RESIDE (Li et al. 2019, "Benchmarking Single-Image Dehazing and Beyond"): its rooms
have beta in 0.6..1.8 and A in 0.7..1, taken for depths of up to 1; its streets beta in 0.04..0.2
and A in 0.8..1, taken for depths of up to 10. As there, stored values are mixed, not linear light.
RESIDE knows the depth of its pictures; here it is drawn, and its edges are moved onto those of the
photograph.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from drcnet_cli.degrade.base import (
    Array,
    Degraded,
    Range,
    chance,
    log_uniform,
    quantize,
    to_chw,
    to_hwc,
)


@dataclass(frozen=True)
class HazeParams:
    """Ranges of one kind of haze; each image draws from them.

    `beta`: thickness of the air over a scene's largest depth, which is 1. `airlight`: the light
    that the air adds, as a share of white; `tint`: by how much each channel may differ from it.
    `far`: depth of what is farthest in the picture, which may be a part of a scene; `near`: depth
    of what is nearest, as a share of `far`. `relief`: heights of the fractal surface; `objects`:
    how many things stand before it. `outdoor_share`: how often depth grows towards a horizon with a
    far sky above, instead of along the walls of a room.
    """

    beta: Range
    airlight: Range
    tint: Range = (0.0, 0.03)
    far: Range = (0.5, 1.0)
    near: Range = (0.1, 0.8)
    relief: Range = (0.0, 0.25)
    objects: tuple[int, int] = (0, 8)
    outdoor_share: float = 0.5


INDOOR = HazeParams(beta=(0.6, 1.8), airlight=(0.7, 1.0), outdoor_share=0.0)
OUTDOOR = HazeParams(beta=(0.4, 2.0), airlight=(0.8, 1.0), outdoor_share=1.0)


def add_haze(image: Array, rng: np.random.Generator, params: HazeParams) -> Degraded:
    """Haze a photograph; the clean image is the given one."""
    clean = to_hwc(image)
    depth = draw_depth(clean, rng, params)
    passed = np.exp(np.float32(-rng.uniform(*params.beta)) * depth)
    air = rng.uniform(*params.airlight) + rng.uniform(*params.tint) * rng.uniform(-1, 1, 3)
    air = np.clip(air, *params.airlight).astype(np.float32)
    return Degraded(to_chw(quantize(scatter(clean, passed, air))), to_chw(clean))


def add_mixed_haze(image: Array, rng: np.random.Generator) -> Degraded:
    """Haze as RESIDE's rooms or as its streets are, in equal shares."""
    return add_haze(image, rng, INDOOR if chance(rng, 0.5) else OUTDOOR)


def scatter(clean: Array, passed: Array, air: Array) -> Array:
    """Mix H x W x 3 with the air's light (3), by the share (H x W) that passes through the air."""
    passed = passed[..., None]
    return clean * passed + air * (1 - passed)


def draw_depth(picture: Array, rng: np.random.Generator, params: HazeParams) -> Array:
    """Draw a depth map for a picture (H x W x 3): H x W, above 0, at most 1."""
    light = picture.mean(2)
    outdoor = chance(rng, params.outdoor_share)
    depth = _ground(light.shape, rng) if outdoor else _room(light.shape, rng)
    depth += np.float32(rng.uniform(*params.relief)) * _fractal(light.shape, rng)
    count = int(rng.integers(params.objects[0], params.objects[1] + 1))
    _put_objects(depth, light, rng, count)
    depth = _follow_edges(depth, light, rng)
    depth -= depth.min()
    depth /= max(float(depth.max()), 1e-6)
    far = rng.uniform(*params.far)
    near = far * rng.uniform(*params.near)
    return np.float32(near) + np.float32(far - near) * depth


def _axes(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return the rows' and the columns' places, -0.5..0.5, to be broadcast against each other."""
    height, width = shape
    down = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - 0.5
    right = (np.arange(width, dtype=np.float32)[None] + 0.5) / width - 0.5
    return down, right


def _room(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Draw a room's depth: the nearest of a back wall, floor, ceiling and side walls.

    A plane's inverse depth is linear in the picture. Crops of a room may show one wall alone.
    """
    down, right = _axes(shape)
    zoom = log_uniform(rng, (0.25, 1.0))
    y, x = (zoom * axis - rng.uniform(-0.5, 0.5) for axis in (down, right))
    inverse = np.full(shape, 1 / rng.uniform(0.5, 1.0), np.float32)
    for slant in (y, -y, x, -x):
        if chance(rng, 0.7):
            inverse = np.maximum(inverse, np.float32(rng.uniform(1.5, 6)) * slant)
    # No wall is seen quite from the front.
    inverse = inverse + np.float32(rng.normal(0, 0.3)) * x
    return 1 / np.maximum(inverse, np.float32(0.5))


def _ground(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Draw the depth of a plain up to a horizon, the sky above; many crops show one alone."""
    down, right = _axes(shape)
    horizon = rng.uniform(-0.8, 0.5)
    below = down - horizon + np.float32(rng.normal(0, 0.1)) * right
    nearness = np.maximum(below, 0) * np.float32(log_uniform(rng, (1, 10)))
    return 1 / (1 + nearness)


def _fractal(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Draw a fractal relief, H x W, mean 0, about -1..1: octaves of smooth noise."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    roughness = rng.uniform(0.35, 0.65)
    for octave in range(1, 6):
        cells = 2**octave + 1
        knots = rng.standard_normal((cells, cells), dtype=np.float32)
        total += np.float32(roughness**octave) * cv2.resize(
            knots, (width, height), interpolation=cv2.INTER_CUBIC
        )
    total -= total.mean()
    return total / max(2 * float(total.std()), 1e-6)


def _put_objects(depth: Array, light: Array, rng: np.random.Generator, count: int) -> None:
    """Put upright things of one depth each, from far to near, over what lies behind them.

    Half of them have the shape of what is about as bright as their middle in the picture.
    """
    height, width = depth.shape
    side = max(height, width)
    for nearness in np.sort(rng.uniform(0.1, 0.8, count)):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        extent = tuple(max(1, round(side * log_uniform(rng, (0.04, 0.5)))) for _ in range(2))
        mask = np.zeros(depth.shape, np.uint8)
        if chance(rng, 0.5):
            cv2.ellipse(mask, center, extent, rng.uniform(0, 180), 0, 360, 1, -1)
        else:
            corner = (center[0] + extent[0], center[1] + extent[1])
            cv2.rectangle(mask, center, corner, 1, -1)
        if chance(rng, 0.5):
            mask &= np.abs(light - light[center[1], center[0]]) < rng.uniform(0.05, 0.3)
        behind = float(depth[center[1], center[0]])
        np.minimum(depth, behind * (1 - nearness), out=depth, where=mask > 0)


def _follow_edges(depth: Array, light: Array, rng: np.random.Generator) -> Array:
    """Move the edges of a depth map onto those of the picture by a guided filter (He et al. 2013).

    Now and then flat areas get depths of their own by their brightness, as things have.
    """
    if chance(rng, 0.5):
        depth = depth + np.float32(rng.normal(0, 0.2)) * cv2.GaussianBlur(light, (0, 0), 1.5)
    radius = max(2, round(max(depth.shape) * rng.uniform(0.02, 0.1)))
    window, softness = (2 * radius + 1, 2 * radius + 1), np.float32(1e-3)
    light_mean, depth_mean = cv2.blur(light, window), cv2.blur(depth, window)
    covariance = cv2.blur(light * depth, window) - light_mean * depth_mean
    variance = cv2.blur(light * light, window) - light_mean * light_mean
    slope = covariance / (np.maximum(variance, 0) + softness)
    offset = depth_mean - slope * light_mean
    return cv2.blur(slope, window) * light + cv2.blur(offset, window)
