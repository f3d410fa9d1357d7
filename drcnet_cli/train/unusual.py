"""Pictures that photographs are not: flat colours, drawings, patterns, stars, and nothing wrong.

People restore screenshots, scans, black frames and pictures that need no restoring. A network that
only ever saw degraded photographs tints them, softens their lines, or multiplies a lone pixel
of an even sky until no picture is left.

A picture is float32, 3 x H x W in [0, 1], in whole 255ths.
"""

from collections.abc import Callable

import cv2
import numpy as np

from drcnet_cli.degrade.base import (
    LUMA,
    Array,
    Degrade,
    Degraded,
    chance,
    log_uniform,
    quantize,
    to_chw,
    to_hwc,
)

# Kind -> how often it is drawn, and how often it is left as it is, not degraded.
_KINDS: dict[str, tuple[float, float]] = {
    "photograph": (0.40, 1.0),
    "flat": (0.10, 0.5),
    "dots": (0.08, 0.6),
    "drawing": (0.14, 0.5),
    "pattern": (0.08, 0.5),
    "exposure": (0.10, 0.2),
    "gray": (0.10, 0.2),
}
KINDS = tuple(_KINDS)

# Pure colours: corners of the colour cube.
_CORNERS = np.array(np.meshgrid([0, 1], [0, 1], [0, 1]), np.float32).reshape(3, -1).T
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32)
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)


def unusual_pair(photograph: Array, degrade: Degrade, rng: np.random.Generator) -> Degraded:
    """Make a pair from a photograph: of a random kind, degraded or left as it is."""
    shares = [share for share, _ in _KINDS.values()]
    kind = KINDS[int(rng.choice(len(KINDS), p=shares))]
    clean = unusual_picture(kind, photograph, rng)
    if chance(rng, _KINDS[kind][1]):
        return Degraded(clean.copy(), clean)
    pair = degrade(clean, rng)
    if kind != "gray":
        return pair
    # What was gray before it was stored as RGB has noise that is the same in all channels.
    return Degraded(_repeat(pair.degraded[1]), _repeat(pair.clean[1]), pair.mask)


def unusual_picture(kind: str, photograph: Array, rng: np.random.Generator) -> Array:
    """Make a picture of the photograph's size, of one of `KINDS`; some are made out of it."""
    picture = _MAKERS[kind](to_hwc(photograph), rng)
    return to_chw(quantize(picture.astype(np.float32, copy=False)))


def _repeat(channel: Array) -> Array:
    return np.repeat(channel[None], 3, axis=0)


def _colour(rng: np.random.Generator) -> Array:
    """Draw a colour: pure ones, grays and any others alike."""
    kind = rng.integers(3)
    if kind == 0:
        return _CORNERS[rng.integers(len(_CORNERS))]
    if kind == 1:
        return np.full(3, rng.random(), np.float32)
    return rng.random(3, dtype=np.float32)


def _flat(photograph: Array, rng: np.random.Generator) -> Array:
    """Fill with one colour, or with a straight gradient between two."""
    height, width = photograph.shape[:2]
    first, last = _colour(rng), _colour(rng)
    if chance(rng, 0.5):
        return np.broadcast_to(first, photograph.shape)
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    along = np.float32(np.cos(angle)) * columns + np.float32(np.sin(angle)) * rows
    along = (along - along.min()) / max(float(np.ptp(along)), 1)
    return first + along[..., None] * (last - first)


def _dots(photograph: Array, rng: np.random.Generator) -> Array:
    """Set from one to eight single pixels into an even picture."""
    picture = np.array(_flat(photograph, rng), np.float32)
    height, width = picture.shape[:2]
    for _ in range(int(log_uniform(rng, (1, 9)))):
        picture[rng.integers(height), rng.integers(width)] = _colour(rng)
    return picture


def _drawing(photograph: Array, rng: np.random.Generator) -> Array:
    """Draw shapes, lines and text on an even ground or over the photograph."""
    ground = photograph if chance(rng, 0.4) else _flat(photograph, rng)
    canvas = np.array(ground, np.float32)
    height, width = canvas.shape[:2]
    line = cv2.LINE_AA if chance(rng, 0.7) else cv2.LINE_8
    # Smoothed edges are drawn in whole 255ths alone.
    canvas = np.ascontiguousarray(quantize(canvas) * 255).round().astype(np.uint8)
    for _ in range(int(log_uniform(rng, (1, 13)))):
        colour = tuple(int(value) for value in (_colour(rng) * 255).round())
        corners = rng.integers(-8, (width + 8, height + 8), (4, 2))
        first, second = (tuple(int(value) for value in corner) for corner in corners[:2])
        thickness = int(log_uniform(rng, (1, 6)))
        shape = rng.integers(5)
        if shape == 0:
            cv2.rectangle(canvas, first, second, colour, -1 if chance(rng, 0.6) else thickness)
        elif shape == 1:
            radius = int(log_uniform(rng, (2, max(3, min(height, width) / 2))))
            filled = -1 if chance(rng, 0.5) else thickness
            cv2.circle(canvas, first, radius, colour, filled, line)
        elif shape == 2:
            cv2.line(canvas, first, second, colour, thickness, line)
        elif shape == 3:
            cv2.fillPoly(canvas, [corners.astype(np.int32)], colour, line)
        else:
            _write(canvas, first, colour, line, rng)
    return canvas.astype(np.float32) / np.float32(255)


def _write(
    canvas: Array,
    place: tuple[int, ...],
    colour: tuple[int, ...],
    line: int,
    rng: np.random.Generator,
) -> None:
    """Write a few lines of random letters and digits into H x W x 3 uint8."""
    size = log_uniform(rng, (0.3, 1.5))
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    for row in range(int(rng.integers(1, 5))):
        text = "".join(chr(code) for code in rng.integers(33, 127, int(rng.integers(3, 25))))
        at = (place[0] - 8, place[1] + int(row * 28 * size))
        cv2.putText(canvas, text, at, font, size, colour, 1 + int(size > 1), line)


def _pattern(photograph: Array, rng: np.random.Generator) -> Array:
    """Lay out a checkerboard or stripes, or print the photograph in dots of two colours."""
    height, width = photograph.shape[:2]
    first, second = _colour(rng), _colour(rng)
    rows, columns = np.mgrid[:height, :width]
    cell, kind = int(log_uniform(rng, (1, 17))), rng.integers(4)
    if kind == 0:
        there = (rows // cell + columns // cell) % 2 > 0
    elif kind == 1:
        there = ((rows if chance(rng, 0.5) else columns) // cell) % 2 > 0
    else:
        luma = photograph @ LUMA
        cell = int(rng.integers(1, 4))
        there = luma > (_BAYER[rows // cell % 4, columns // cell % 4] + 0.5) / 16
    return np.where(there[..., None], first, second)


def _exposure(photograph: Array, rng: np.random.Generator) -> Array:
    """Darken the photograph until little is left, or brighten it until much is clipped."""
    if chance(rng, 0.6):
        return photograph * np.float32(log_uniform(rng, (0.02, 0.4)))
    gain = np.float32(log_uniform(rng, (1.5, 6)))
    return np.clip(photograph * gain - np.float32(rng.uniform(0, 0.5)), 0, 1)


def _gray(photograph: Array, _rng: np.random.Generator) -> Array:
    return np.repeat((photograph @ LUMA)[..., None], 3, axis=2)


_MAKERS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "photograph": lambda photograph, rng: photograph,
    "flat": _flat,
    "dots": _dots,
    "drawing": _drawing,
    "pattern": _pattern,
    "exposure": _exposure,
    "gray": _gray,
}
