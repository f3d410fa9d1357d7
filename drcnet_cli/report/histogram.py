"""A histogram as inline SVG: readable without colours, by screen readers, and when printed."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from drcnet_cli.report.blocks import Histogram
from drcnet_cli.report.markup import number, text

# The drawing, in its own units; it is scaled to the page.
_WIDTH, _HEIGHT = 400, 186
_LEFT, _RIGHT, _TOP, _BOTTOM = 6, 394, 24, 156
_MOST_BARS = 60
_TICKS = 6


@dataclass(frozen=True)
class Bins:
    """Counts of values by their multiple of `step`: a bin never reaches across zero."""

    step: float
    first: int
    last: int
    counts: Counter[int]

    def x(self, edge: float) -> float:
        """Place an edge, in steps, on the drawing."""
        share = (edge - self.first) / (self.last - self.first)
        return _LEFT + share * (_RIGHT - _LEFT)


def find_bins(values: Sequence[float]) -> Bins:
    """Choose bins for finite values: round edges, zero among them, fitting the values' spread."""
    low, high = min(0.0, *values), max(0.0, *values)
    high = max(high, low + 1e-3)
    spread = max(values) - min(values) or (high - low)
    wanted = min(20.0, max(6.0, 2 * math.sqrt(len(values))))
    step = max(round_step(spread / wanted), round_step((high - low) / _MOST_BARS))
    # A little more than the value, so that 0.3 / 0.1 = 2.9999... falls where 0.3 belongs.
    counts = Counter(math.floor(value / step + 1e-9) for value in values)
    first = min(0, math.floor(low / step), *counts)
    last = max(1, math.ceil(high / step), *(place + 1 for place in counts))
    return Bins(step, first, last, counts)


def round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20, ... (or tenths ...) that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(
        (factor * power for factor in (1, 2, 5) if factor * power >= least * (1 - 1e-9)), 10 * power
    )


def finite(histogram: Histogram) -> list[float]:
    """Return the values that can be drawn: gains over perfect pictures are infinite."""
    return [value for value in histogram.values if math.isfinite(value)]


def summarise(histogram: Histogram, values: Sequence[float]) -> str:
    """Say in one sentence what the drawing shows; `values` are the finite ones."""
    left_out = len(histogram.values) - len(values)
    others = f" {left_out} without a finite value." if left_out else ""
    if not values:
        return f"No picture to draw.{others}"
    unit = f" {histogram.unit}" if histogram.unit else ""
    if len(values) == 1:
        return f"1 picture: {number(values[0])}{unit}.{others}"
    below = sum(value < 0 for value in values)
    return (
        f"{len(values)} pictures: {number(min(values))} to {number(max(values))}{unit}, "
        f"median {number(median(values))}{unit}; {below or 'none'} below zero.{others}"
    )


def draw(histogram: Histogram, name: str) -> str:
    """Draw it; `name` begins the identifiers within the page. Empty without finite values."""
    values = finite(histogram)
    if not values:
        return ""
    bins = find_bins(values)
    parts = [
        f'<svg class="histogram" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{text(histogram.title)}</title>',
        f'<desc id="{name}-desc">{text(summarise(histogram, values))}</desc>',
        *_grid(bins),
        *_bars(bins, histogram.unit),
        *_ticks(bins, histogram.unit),
        "</svg>",
    ]
    return "\n".join(parts)


def _grid(bins: Bins) -> list[str]:
    """Draw the height of the tallest bar, which is the only count that needs a label."""
    tallest = max(bins.counts.values())
    pictures = "picture" if tallest == 1 else "pictures"
    return [
        f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{_TOP}" y2="{_TOP}"/>',
        f'<text class="count" x="{_LEFT}" y="{_TOP - 7}">{tallest} {pictures}</text>',
    ]


def _bars(bins: Bins, unit: str) -> list[str]:
    tallest = max(bins.counts.values())
    bars = []
    for place, count in sorted(bins.counts.items()):
        left, right = bins.x(place), bins.x(place + 1)
        gap = min(1.0, (right - left) / 8)
        top = _BOTTOM - count / tallest * (_BOTTOM - _TOP)
        label = f"{_edge(place, bins.step)} to {_edge(place + 1, bins.step)} {unit}".rstrip()
        bars.append(
            f'<rect class="{"loss" if place < 0 else "gain"}" x="{left + gap:.2f}" y="{top:.2f}" '
            f'width="{right - left - 2 * gap:.2f}" height="{_BOTTOM - top:.2f}">'
            f"<title>{text(label)}: {count}</title></rect>"
        )
    return bars


def _ticks(bins: Bins, unit: str) -> list[str]:
    """Draw the axis, its labels, and the zero line."""
    every = max(1, round(round_step((bins.last - bins.first) / _TICKS)))
    marks = [place for place in range(bins.first, bins.last + 1) if place % every == 0]
    labels = [
        f'<text class="tick" x="{bins.x(place):.2f}" y="{_BOTTOM + 18}" '
        f'text-anchor="{_anchor(bins.x(place))}">{_edge(place, bins.step)}</text>'
        for place in marks
    ]
    zero = bins.x(0)
    return [
        f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>',
        f'<line class="zero" x1="{zero:.2f}" x2="{zero:.2f}" y1="{_TOP - 4}" y2="{_BOTTOM + 4}"/>',
        *labels,
        f'<text class="unit" x="{_RIGHT}" y="{_TOP - 7}" text-anchor="end">{text(unit)}</text>',
    ]


def _anchor(x: float) -> str:
    """Keep the outermost labels inside the drawing."""
    return "start" if x < _LEFT + 8 else "end" if x > _RIGHT - 8 else "middle"


def _edge(place: int, step: float) -> str:
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return number(place * step, decimals) if place else "0"
