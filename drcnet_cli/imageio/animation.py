"""Animations: frames as their files hold them, composed to what is seen, one after the other.

GIF 89a, the APNG specification and WebP's container (RFC 9649) agree on this much: a canvas, and
frames that are drawn on a part of it, over what is there or in its place; what is left of one
before the next is drawn is said, too.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.decode import check_size
from drcnet_cli.imageio.picture import Metadata, Picture, peak_value, turn_upright

# Durations, which are few in a file, are kept once each.
fraction = lru_cache(maxsize=256)(Fraction)

Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom
# What is left of a frame: all, nothing, or what was there before it.
After: TypeAlias = Literal["stays", "cleared", "undone"]


@dataclass(frozen=True, slots=True)
class Region:
    """One frame as its file holds it: `start` to `end` are its bytes.

    `over`: it is laid over what is there, else put in its place. `has_alpha`: it may be transparent
    somewhere; `key` is GIF's transparent colour.
    """

    left: int
    top: int
    width: int
    height: int
    seconds: Fraction
    over: bool
    after: After
    has_alpha: bool
    start: int
    end: int
    key: int | None = None


@dataclass(frozen=True)
class Animation:
    """An animation's header: `plays` times (0: for ever), and where its frames lie.

    `decode` returns a frame's own pixels. `metadata` are the file's, upright; frames are turned by
    `orientation`. `damage`: what is wrong with the file behind its last whole frame.
    """

    format: str
    width: int
    height: int
    plays: int
    regions: Sequence[Region]
    decode: Callable[[Region], Picture]
    metadata: Metadata
    orientation: int = 1
    damage: str = ""

    @property
    def is_opaque(self) -> bool:
        """Tell whether nothing of the canvas can ever be seen through."""
        first = self.regions[0]
        covered = (first.left, first.top) == (0, 0) and not first.has_alpha
        covered = covered and first.width >= self.width and first.height >= self.height
        return (
            covered
            and first.after == "stays"
            and all(each.after != "cleared" for each in self.regions)
            and all(each.over or not each.has_alpha for each in self.regions)
        )

    def frames(self, numbers: Collection[int]) -> Iterator[Picture]:
        """Compose the frames with these numbers, counted from 1, in their order.

        All have the canvas's size, one type, and alpha unless the animation is opaque.
        """
        check_size(self.width, self.height)
        canvas, last, opaque = None, max(numbers), self.is_opaque
        for number, region in enumerate(self.regions[:last], 1):
            drawn = self.decode(region)
            if canvas is None:
                canvas = _empty(self, drawn)
            before = _cut(canvas, region) if region.after == "undone" else None
            _draw(canvas, drawn, region)
            if number in numbers:
                yield self._seen(canvas, opaque)
            if before is not None:
                _put(canvas, before, region)
            elif region.after == "cleared":
                for part in _cut(canvas, region, copied=False):
                    part[...] = 0

    def _seen(self, canvas: "_Canvas", opaque: bool) -> Picture:
        pixels, cover = (turn_upright(part, self.orientation).copy() for part in canvas)
        return Picture(pixels, None if opaque else cover, self.metadata)


def no_frame(damage: str) -> ImageError:
    """Make the error for an animation of which not one frame is whole."""
    return ImageError(f"is damaged or cut off ({damage}).", "Copy or download it again.")


_Canvas: TypeAlias = tuple[np.ndarray, np.ndarray]  # colours H x W x C, alpha H x W


def _empty(animation: Animation, drawn: Picture) -> _Canvas:
    size, dtype = (animation.height, animation.width), drawn.pixels.dtype
    return np.zeros((*size, drawn.pixels.shape[2]), dtype), np.zeros(size, dtype)


def _cut(canvas: _Canvas, region: Region, copied: bool = True) -> _Canvas:
    rows = slice(region.top, region.top + region.height)
    columns = slice(region.left, region.left + region.width)
    colours, cover = canvas[0][rows, columns], canvas[1][rows, columns]
    return (colours.copy(), cover.copy()) if copied else (colours, cover)


def _put(canvas: _Canvas, part: _Canvas, region: Region) -> None:
    for target, source in zip(_cut(canvas, region, copied=False), part, strict=True):
        target[...] = source


def _draw(canvas: _Canvas, drawn: Picture, region: Region) -> None:
    """Draw a frame's own pixels; what lies beside the canvas is not seen."""
    colours, cover = _cut(canvas, region, copied=False)
    height, width = cover.shape
    pixels, peak = drawn.pixels[:height, :width], peak_value(cover.dtype)
    alpha = None if drawn.alpha is None else drawn.alpha[:height, :width]
    if alpha is None or not region.over:
        colours[...] = pixels
        cover[...] = peak if alpha is None else alpha
        return
    whole = (alpha == peak) | (cover == 0)
    colours[whole], cover[whole] = pixels[whole], alpha[whole]
    mixed = (alpha > 0) & ~whole
    if mixed.any():
        share = alpha[mixed].astype(np.float32) / peak
        under = cover[mixed].astype(np.float32) / peak * (1 - share)
        total = share + under
        blend = pixels[mixed] * share[:, None] + colours[mixed] * under[:, None]
        colours[mixed] = np.rint(blend / total[:, None]).astype(colours.dtype)
        cover[mixed] = np.rint(total * peak).astype(cover.dtype)


def changed_box(before: Picture, now: Picture) -> Box:
    """Return the part in which two pictures of one kind differ; where none does, one pixel."""
    differs = (before.pixels != now.pixels).any(2)
    if before.alpha is not None and now.alpha is not None:
        differs |= before.alpha != now.alpha
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    if not len(rows):
        return 0, 0, 1, 1
    # WebP's frames begin at even places.
    left, top = int(columns[0]) & ~1, int(rows[0]) & ~1
    return left, top, int(columns[-1]) + 1, int(rows[-1]) + 1


def cropped(picture: Picture, box: Box) -> Picture:
    """Return a part of a picture, without metadata."""
    left, top, right, bottom = box
    alpha = picture.alpha
    return Picture(
        picture.pixels[top:bottom, left:right],
        None if alpha is None else np.ascontiguousarray(alpha[top:bottom, left:right]),
    )


class Ticks:
    """Turns seconds into whole ticks, `rate` a second, so that their sum keeps to the seconds'."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._total = Fraction(0)
        self._told = 0
        self.rounded = False

    def of(self, seconds: Fraction, longest: int) -> int:
        """Return a frame's ticks, `longest` at most."""
        exact = (self._total + seconds) * self._rate
        self.rounded = self.rounded or exact.denominator != 1
        ticks = min(round(exact) - self._told, longest)
        self._total += seconds
        self._told += ticks
        return ticks
