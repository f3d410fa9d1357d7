"""Drops on the lens: blobs that bend and blur what is behind them, with a light and a dark side.

The camera looks through a wet pane or lens: a drop is out of focus, so that its edge is soft, and
it shows the scene shrunk and mostly upside down, as a small ball of water does (in the manner of
the pairs of Qian et al. 2018, "Attentive generative adversarial network for raindrop removal from a
single image", which were photographed through glass with and without drops). Each picture comes
with the mask of its drops.
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
    visible_mask,
)

_MASKED_FROM = 0.15  # opacity from which a pixel belongs to a drop
_MOST_DROPS = 2000
_WAVES = 4  # of a drop's outline
_BORDER = cv2.BORDER_REFLECT_101


@dataclass(frozen=True)
class DropsParams:
    """Ranges of one kind of wet glass; each picture draws from them.

    `radius`: of drops in pixels, spread between two bounds of the picture's own. `coverage`: share
    of the picture that drops would cover if none lay over another. `edge`: width of the soft edge
    in pixels. `opacity`: how much of a drop's middle hides what is behind. `zoom`: by how much a
    drop shrinks the scene; `upright_share`: how often it does not turn it over. `blur`: standard
    deviation, in pixels, of the scene's blur within drops. `gain`: brightness within drops.
    `highlight`: light that the bright side adds. `shade`: how much the dark rim takes.
    `stretch`: how much longer than wide drops are; `ripple`: irregularity of their outlines.
    """

    radius: Range = (3.0, 44.0)
    coverage: Range = (0.03, 0.35)
    edge: Range = (1.0, 8.0)
    opacity: Range = (0.55, 0.97)
    zoom: Range = (1.5, 6.0)
    upright_share: float = 0.25
    blur: Range = (1.0, 7.0)
    gain: Range = (0.75, 1.25)
    highlight: Range = (0.0, 0.45)
    shade: Range = (0.0, 0.5)
    stretch: Range = (0.85, 1.6)
    ripple: Range = (0.0, 0.16)


MIXED = DropsParams()
LIGHT = DropsParams(radius=(3.0, 16.0), coverage=(0.02, 0.12))
HEAVY = DropsParams(radius=(8.0, 44.0), coverage=(0.2, 0.5))


@dataclass
class _Glass:
    """What the drops do to each pixel: H x W, float32.

    `opacity` of what covers it; `across` and `down`: where in the scene it looks; `gain`, `light`:
    what its colours are multiplied by, and what is added.
    """

    opacity: Array
    across: Array
    down: Array
    gain: Array
    light: Array

    @classmethod
    def clear(cls, shape: tuple[int, int]) -> "_Glass":
        rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        zeros = np.zeros(shape, np.float32)
        return cls(zeros, columns, rows, np.ones(shape, np.float32), zeros.copy())


def add_drops(image: Array, rng: np.random.Generator, params: DropsParams = MIXED) -> Degraded:
    """Put drops before a picture; the clean image is the given one, `mask` tells where drops are.

    Drops are no larger than a third of the picture.
    """
    clean = to_hwc(image)
    height, width = clean.shape[:2]
    glass = _wet((height, width), rng, params)
    blurred = cv2.GaussianBlur(clean, (0, 0), log_uniform(rng, params.blur), borderType=_BORDER)
    seen = cv2.remap(blurred, glass.across, glass.down, cv2.INTER_LINEAR, borderMode=_BORDER)
    seen = np.clip(seen * glass.gain[..., None] + glass.light[..., None], 0, 1)
    opacity = glass.opacity[..., None]
    wet = quantize(clean + opacity * (seen - clean))
    mask = visible_mask(glass.opacity >= _MASKED_FROM, wet, clean)
    return Degraded(to_chw(wet), to_chw(clean), mask)


def _wet(shape: tuple[int, int], rng: np.random.Generator, params: DropsParams) -> _Glass:
    """Draw the drops of one picture; of two, the one that covers more is seen."""
    glass = _Glass.clear(shape)
    largest = max(params.radius[0], min(params.radius[1], min(shape) / 3))
    bounds = sorted(log_uniform(rng, (params.radius[0], largest)) for _ in range(2))
    wanted = rng.uniform(*params.coverage) * shape[0] * shape[1]
    edge = log_uniform(rng, params.edge)
    # The light comes from above, and a drop's bright side is below as it turns the scene over.
    light = rng.uniform(-0.8, 0.8) + (np.pi / 2 if chance(rng, 0.7) else -np.pi / 2)
    for _ in range(_MOST_DROPS):
        radius = log_uniform(rng, (bounds[0], bounds[1]))
        _put_drop(glass, rng, params, radius, min(edge, 0.7 * radius), light)
        wanted -= np.pi * radius**2
        if wanted < 0:
            break
    return glass


def _put_drop(
    glass: _Glass,
    rng: np.random.Generator,
    params: DropsParams,
    radius: float,
    edge: float,
    light: float,
) -> None:
    """Put one drop onto the glass; `light`: direction of its bright side in radians."""
    height, width = glass.opacity.shape
    y, x = rng.uniform(-0.3 * radius, height + 0.3 * radius), rng.uniform(0, width)
    stretch = rng.uniform(*params.stretch)
    reach = int(np.ceil(1.6 * radius * max(stretch, 1) + edge))
    rows = slice(max(0, int(y) - reach), max(0, min(height, int(y) + reach + 1)))
    columns = slice(max(0, int(x) - reach), max(0, min(width, int(x) + reach + 1)))
    down = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - y) / (radius * stretch)
    across = (np.arange(columns.start, columns.stop, dtype=np.float32)[None] - x) / radius
    far = np.sqrt(down**2 + across**2) / _outline(np.arctan2(down, across), rng, params)
    inside = np.clip((1 - far) * radius / edge + 0.5, 0, 1)
    opacity = inside * inside * (3 - 2 * inside) * np.float32(rng.uniform(*params.opacity))
    zoom = log_uniform(rng, params.zoom) * radius
    zoom = zoom if chance(rng, params.upright_share) else -zoom
    lens = (1 + 0.5 * far**2) * np.float32(zoom)  # towards the rim it shows more of the scene
    sunny = (across * np.cos(light) + down * np.sin(light)) / np.maximum(far, 1e-3)
    rim = np.clip(far, 0, 1) ** 3
    gain = rng.uniform(*params.gain) * (1 - rng.uniform(*params.shade) * rim * (1 - sunny) / 2)
    spot = np.exp(-(((across - 0.5 * np.cos(light)) / 0.3) ** 2))
    spot = spot * np.exp(-(((down - 0.5 * np.sin(light)) / 0.3) ** 2))
    values = {
        "opacity": opacity,
        "across": x + across * lens,
        "down": y + down * lens,
        "gain": gain,
        "light": rng.uniform(*params.highlight) * spot,
    }
    there = (rows, columns)
    more = opacity > glass.opacity[there]
    for name, value in values.items():
        target = getattr(glass, name)[there]
        np.copyto(target, value.astype(np.float32), where=more)


def _outline(angle: Array, rng: np.random.Generator, params: DropsParams) -> Array:
    """Return the outline's distance from the middle, about 1, in each direction."""
    outline = np.ones_like(angle)
    ripple = rng.uniform(*params.ripple)
    for wave in range(2, 2 + _WAVES):
        size = ripple * rng.normal() / (wave - 1)
        outline += np.float32(size) * np.cos(wave * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    return np.maximum(outline, 0.4)
