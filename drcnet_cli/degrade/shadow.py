"""Shadows: parts of a picture that the sun does not reach, darker and cooler, with soft edges.

What is left is the sky's light: in linear light each channel is multiplied, red by least and blue
by most. The edge is the wider the farther the thing is that casts it (the penumbra), so that one
shadow may be sharp at one end and soft at the other. Each picture comes with its shadows' mask.
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
    visible_mask,
)

_MASKED_FROM = 0.15  # share of the shadow's strength from which a pixel belongs to it
_LEAST, _MOST = 0.04, 0.7  # share of a picture that shadows cover
_TRIES = 8


@dataclass(frozen=True)
class ShadowParams:
    """Ranges of one kind of shadow; each picture draws from them.

    `light`: what is left of green, in linear light; `cool`: by how much less is left of red, and
    more of blue. `extent`: size of a shape as a share of the picture's larger side. `shapes`: how
    many. `penumbra`: standard deviation of the edge's softness in pixels, at its two ends.
    `dappled_share`: how often the shadow is that of leaves; `half_share`: how often it is that of a
    wall, which has one long edge. `uneven`: how much strength varies within the shadow.
    """

    light: Range = (0.2, 0.65)
    cool: Range = (0.0, 0.18)
    extent: Range = (0.15, 0.9)
    shapes: tuple[int, int] = (1, 3)
    penumbra: Range = (0.6, 10.0)
    dappled_share: float = 0.2
    half_share: float = 0.2
    uneven: Range = (0.0, 0.12)


MIXED = ShadowParams()
HARD = ShadowParams(penumbra=(0.5, 1.5), light=(0.15, 0.5), dappled_share=0.1)
SOFT = ShadowParams(penumbra=(4.0, 16.0), light=(0.3, 0.7))


def add_shadow(image: Array, rng: np.random.Generator, params: ShadowParams = MIXED) -> Degraded:
    """Cast shadows on a picture; the clean image is the given one, `mask` tells where they are."""
    clean = to_hwc(image)
    shape = (clean.shape[0], clean.shape[1])
    strength = _soften(_cast(shape, rng, params), rng, params)
    mask = strength >= _MASKED_FROM
    strength = strength * (1 - np.float32(rng.uniform(*params.uneven)) * _cloud(shape, rng))
    left, cool = rng.uniform(*params.light), rng.uniform(*params.cool)
    kept = np.array([left * (1 - cool), left, min(1.0, left * (1 + cool))], np.float32)
    curve = display_curve()
    dimmed = look_up(curve.to_linear, clean) * (1 - strength[..., None] * (1 - kept))
    # Where there is no shadow nothing went through the curves.
    dark = np.where(strength[..., None] > 0, look_up(curve.to_display, dimmed), clean)
    dark = quantize(dark)
    return Degraded(to_chw(dark), to_chw(clean), visible_mask(mask, dark, clean))


def _cast(shape: tuple[int, int], rng: np.random.Generator, params: ShadowParams) -> Array:
    """Draw a sharp shadow, H x W of zeros and ones, that leaves some of the picture in the sun."""
    drawn = np.zeros(shape, np.float32)
    kind = rng.random()
    for _ in range(_TRIES):
        if kind < params.dappled_share:
            drawn = _dappled(shape, rng)
        elif kind < params.dappled_share + params.half_share:
            drawn = _half(shape, rng)
        else:
            drawn = _things(shape, rng, params)
        if _LEAST <= drawn.mean() <= _MOST:
            break
    return drawn


def _things(shape: tuple[int, int], rng: np.random.Generator, params: ShadowParams) -> Array:
    """Draw polygons and blobs."""
    height, width = shape
    drawn = np.zeros(shape, np.uint8)
    for _ in range(rng.integers(params.shapes[0], params.shapes[1] + 1)):
        size = 0.5 * max(shape) * log_uniform(rng, params.extent)
        corners = int(rng.integers(3, 8)) if chance(rng, 0.5) else 24
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        far = np.exp(rng.normal(0, 0.35, corners))
        if corners == 24:  # a blob: its outline is a smooth wave
            angles = np.arange(corners) * 2 * np.pi / corners
            far = np.exp(sum(
                rng.normal(0, 0.3 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
                for wave in range(1, 5)
            ))  # fmt: skip
        flat, turn = rng.uniform(0.35, 1), rng.uniform(0, np.pi)
        points = size * np.stack([far * np.cos(angles), flat * far * np.sin(angles)], 1)
        turned = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        middle = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        cv2.fillPoly(drawn, [np.rint(turned + middle).astype(np.int32)], 1)
    return drawn.astype(np.float32)


def _half(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Draw the shadow of a wall: all on one side of a line, or between two."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = columns * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle))
    along = (along - along.min()) / max(float(np.ptp(along)), 1)
    first = rng.uniform(0.15, 0.75)
    last = first + rng.uniform(0.1, 0.5) if chance(rng, 0.4) else 2.0
    return ((along > first) & (along < last)).astype(np.float32)


def _dappled(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Draw the shadow of leaves: where a cloud of several sizes is above a level."""
    cloud = _cloud(shape, rng, octaves=int(rng.integers(2, 6)))
    return (cloud > np.quantile(cloud, rng.uniform(0.4, 0.85))).astype(np.float32)


def _cloud(shape: tuple[int, int], rng: np.random.Generator, octaves: int = 2) -> Array:
    """Draw smooth noise, H x W in 0..1."""
    total = np.zeros(shape, np.float32)
    for octave in range(1, octaves + 1):
        cells = 2**octave + 1
        knots = rng.random((cells, cells), dtype=np.float32)
        size = (shape[1], shape[0])
        total += cv2.resize(knots, size, interpolation=cv2.INTER_CUBIC) / np.float32(octave)
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def _soften(sharp: Array, rng: np.random.Generator, params: ShadowParams) -> Array:
    """Blur a shadow's edge, by more at one end of the picture than at the other."""
    widths = sorted(log_uniform(rng, params.penumbra) for _ in range(2))
    near, far = (cv2.GaussianBlur(sharp, (0, 0), width) for width in widths)
    axis, count = (0, sharp.shape[0]) if chance(rng, 0.5) else (1, sharp.shape[1])
    ramp = np.linspace(0, 1, count, dtype=np.float32)
    ramp = np.expand_dims(ramp[::-1] if chance(rng, 0.5) else ramp, 1 - axis)
    return np.clip(near + ramp * (far - near), 0, 1)
