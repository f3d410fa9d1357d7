"""Curves as a plain SVG text: what a figure of a paper looks like with our numbers."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 50  # margins
COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#7d3c98", "#b9770e", "#34495e")
TICKS = 5


class Point(NamedTuple):
    """A place on the axis, the mean there and its spread."""

    x: float
    y: float
    spread: float = 0.0


def draw_curves(
    title: str, x_label: str, y_label: str, curves: Mapping[str, Sequence[Point]]
) -> str:
    """Return an SVG of named curves, each point with its spread; without points, of axes alone."""
    points = [point for curve in curves.values() for point in curve]
    xs = [point.x for point in points] or [0.0, 1.0]
    ys = [y for p in points for y in (p.y - p.spread, p.y + p.spread)] or [0.0, 1.0]
    plane = _Plane(*_range(xs), *_range(ys))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(WIDTH / 2, 20, title),
        _text(WIDTH / 2, HEIGHT - 10, x_label),
        _text(LEFT, TOP - 10, y_label),
        *plane.axes(),
    ]
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts += plane.curve(sorted(curve), colour)
        place = (0.42 * WIDTH, HEIGHT - BOTTOM - 16 * (len(curves) - number))
        parts.append(_text(*place, name, colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Plane:
    """Where values lie in the picture."""

    def __init__(self, left: float, right: float, low: float, high: float) -> None:
        self.left, self.right, self.low, self.high = left, right, low, high

    def x(self, value: float) -> float:
        share = (value - self.left) / (self.right - self.left)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def axes(self) -> list[str]:
        frame = f"M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"
        parts = [f'<path d="{frame}" fill="none" stroke="black"/>']
        for tick in range(TICKS):
            share = tick / (TICKS - 1)
            x = self.left + share * (self.right - self.left)
            y = self.low + share * (self.high - self.low)
            parts.append(_text(self.x(x), HEIGHT - BOTTOM + 16, f"{x:.3g}"))
            parts.append(_text(LEFT - 28, self.y(y) + 4, f"{y:.2f}"))
        return parts

    def curve(self, points: Sequence[Point], colour: str) -> list[str]:
        line = " ".join(f"{self.x(p.x):.1f},{self.y(p.y):.1f}" for p in points)
        parts = [f'<polyline points="{line}" fill="none" stroke="{colour}"/>']
        for point in points:
            x, y = self.x(point.x), self.y(point.y)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            low, high = self.y(point.y - point.spread), self.y(point.y + point.spread)
            parts.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}"/>')
        return parts


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis; never the same twice."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _text(x: float, y: float, text: str, colour: str = "black") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
