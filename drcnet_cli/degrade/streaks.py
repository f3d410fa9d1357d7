"""Rain layers, H x W and not negative: drops drawn one by one, a far curtain, or rendered images.

An angle is in degrees from the vertical, positive when the drop falls towards the right.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from drcnet_cli.degrade.base import Array, Streaks
from drcnet_cli.imageio.pixels import to_unit

_CHUNK = 4096


@dataclass(frozen=True)
class DropParams:
    """Drops of one distance from the camera, that is of about one size.

    `density`: drops per 1000 pixels. `length` and `width`: medians in pixels, spread log-normally.
    `brightness`: what the brightest drops add, as a share of white. `spread`: standard deviation of
    the drops' angles; `fan`: difference of angle between the image's sides (perspective). `ripple`
    (0..1): how much brightness varies along a streak, as the light plays in an oscillating drop
    (Garg and Nayar 2006). `taper` (0..1): share of a streak over which its ends fade. `softness`:
    defocus, the standard deviation of a Gaussian in pixels.
    """

    density: float
    length: float
    width: float
    angle: float
    brightness: float
    spread: float = 2.0
    fan: float = 0.0
    ripple: float = 0.3
    taper: float = 0.5
    softness: float = 0.4


def drop_layer(shape: tuple[int, int], rng: np.random.Generator, params: DropParams) -> Array:
    """Draw streaks at sub-pixel positions, each with its own size, direction and profile."""
    height, width = shape
    pad_y, pad_x = _margins(params)
    expected = params.density / 1000 * (height + 2 * pad_y) * (width + 2 * pad_x)
    canvas = np.zeros(height * width, np.float32)
    count = int(rng.poisson(expected))
    for start in range(0, count, _CHUNK):
        drops = _draw_drops(min(_CHUNK, count - start), shape, rng, params)
        _splat(canvas, shape, *_dots(drops, params.ripple, params.taper))
    layer = canvas.reshape(shape)
    return cv2.GaussianBlur(layer, (0, 0), params.softness) if params.softness > 0.2 else layer


def _margins(params: DropParams) -> tuple[float, float]:
    """Tell how far outside (rows, columns) a drop's middle may lie and still reach the image."""
    angle = np.deg2rad(params.angle)
    reach = 0.75 * params.length
    return reach * abs(float(np.cos(angle))) + 4, reach * abs(float(np.sin(angle))) + 4


class _Drops(NamedTuple):
    """Drops, one an entry: middle, size in pixels, radians from the vertical, light, ripple."""

    x: Array
    y: Array
    length: Array
    width: Array
    angle: Array
    brightness: Array
    phase: Array
    waves: Array


def _draw_drops(
    count: int, shape: tuple[int, int], rng: np.random.Generator, params: DropParams
) -> _Drops:
    height, width = shape
    pad_y, pad_x = _margins(params)
    x = rng.uniform(-pad_x, width + pad_x, count).astype(np.float32)
    # Near drops are long, wide and few among many far ones: one factor for both sizes.
    nearness = 0.35 * rng.standard_normal(count, dtype=np.float32).clip(-2, 1.5)
    angle = params.angle + params.spread * rng.standard_normal(count, dtype=np.float32)
    return _Drops(
        x=x,
        y=rng.uniform(-pad_y, height + pad_y, count).astype(np.float32),
        length=params.length * np.exp(nearness + 0.25 * rng.standard_normal(count, np.float32)),
        width=params.width * np.exp(nearness + 0.2 * rng.standard_normal(count, np.float32)),
        angle=np.deg2rad(angle + params.fan * (x / width - 0.5)),
        brightness=params.brightness * (0.15 + 0.85 * rng.random(count, np.float32) ** 1.5),
        phase=rng.uniform(0, 2 * np.pi, count).astype(np.float32),
        waves=rng.uniform(0.5, 3.0, count).astype(np.float32),
    )


def _dots(drops: _Drops, ripple: float, taper: float) -> tuple[Array, Array, Array]:
    """Break drops up into dots a pixel apart along and across: their x, y and weight."""
    rows = np.maximum(np.ceil(drops.length), 2).astype(np.int64)
    columns = np.maximum(np.ceil(drops.width - 0.2), 1).astype(np.int64)
    each = rows * columns
    of = np.repeat(np.arange(each.size), each)
    index = np.arange(of.size) - (np.cumsum(each) - each)[of]
    along = (index // columns[of] + np.float32(0.5)) / rows[of] - np.float32(0.5)
    aside = (index % columns[of] + np.float32(0.5)) / columns[of] - np.float32(0.5)

    fade = np.clip((1 - np.abs(2 * along)) / max(taper, 0.05), 0, 1)
    wave = 1 + ripple * np.cos(2 * np.pi * drops.waves[of] * along + drops.phase[of])
    share = drops.brightness * (drops.length / rows) * (drops.width / columns)
    weight = share[of] * fade * wave / (1 + ripple)
    along = along * drops.length[of]
    aside = aside * drops.width[of] * np.sqrt(fade)
    sine, cosine = np.sin(drops.angle)[of], np.cos(drops.angle)[of]
    x = drops.x[of] + along * sine + aside * cosine
    y = drops.y[of] + along * cosine - aside * sine
    return x, y, weight


def _splat(canvas: Array, shape: tuple[int, int], x: Array, y: Array, weight: Array) -> None:
    """Add dots at sub-pixel positions, shared bilinearly by the four pixels around each."""
    height, width = shape
    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    x, y, weight = x[inside] + 1, y[inside] + 1, weight[inside]
    column, row = x.astype(np.int64), y.astype(np.int64)
    right, down = x - column, y - row
    # A border of one pixel all round takes the shares that fall outside.
    stride = width + 2
    corner = row * stride + column
    indices = np.concatenate([corner, corner + 1, corner + stride, corner + stride + 1])
    upper, lower = weight * (1 - down), weight * down
    shares = np.concatenate(
        [upper * (1 - right), upper * right, lower * (1 - right), lower * right]
    )
    padded = np.bincount(indices, shares, minlength=(height + 2) * stride)
    canvas += padded.reshape(height + 2, stride)[1:-1, 1:-1].ravel().astype(np.float32)


def curtain_layer(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    angle: float,
    length: float,
    coverage: float,
    brightness: float,
) -> Array:
    """Draw countless far drops as sparse white noise, smeared along one direction.

    `coverage` (0..1) is the share of dots that hold a drop; `brightness` as in `DropParams`.
    """
    height, width = shape
    side = int(np.ceil(np.hypot(height, width))) + 2
    dots = rng.random((side, side), dtype=np.float32)
    seeds = np.clip((dots - np.float32(1 - coverage)) / np.float32(max(coverage, 1e-3)), 0, 1)
    smeared = cv2.blur(seeds, (1, max(1, round(length))))
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1.0)
    matrix[:, 2] += (width / 2 - side / 2, height / 2 - side / 2)
    turned = cv2.warpAffine(smeared, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    # Smearing averages: take the even haze away, give the brightest streaks their brightness again.
    turned = np.maximum(turned - turned.mean(), 0)
    bright = float(np.quantile(turned[::2, ::2], 0.99))
    return turned * np.float32(brightness / max(bright, 1e-3))


def rendered_layer(
    shape: tuple[int, int],
    rng: np.random.Generator,
    streaks: Streaks,
    *,
    scale: float = 1.0,
    tilt: float = 0.0,
) -> Array:
    """Cut a random window from one of the rendered layers (uint8, H x W), scaled, tilted, flipped.

    Windows beyond the layer's border go on at its other side: reflected streaks would have kinks.
    """
    height, width = shape
    source = streaks[int(rng.integers(len(streaks)))]
    room_y, room_x = source.shape[0] - height / scale, source.shape[1] - width / scale
    center_y = source.shape[0] / 2 + rng.uniform(-0.5, 0.5) * max(room_y, 0)
    center_x = source.shape[1] / 2 + rng.uniform(-0.5, 0.5) * max(room_x, 0)
    matrix = cv2.getRotationMatrix2D((center_x, center_y), tilt, scale)
    matrix[:, 2] += (width / 2 - center_x, height / 2 - center_y)
    window = cv2.warpAffine(
        source, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    if rng.random() < 0.5:
        window = window[:, ::-1]
    return to_unit(window)
