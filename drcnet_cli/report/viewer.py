"""A comparison's pictures as HTML: side by side, for the page's script to lay under a slider."""

from dataclasses import replace

import numpy as np

from drcnet_cli.report.blocks import AFTER, BEFORE, TARGET, Comparison, Pixels
from drcnet_cli.report.markup import size, text
from drcnet_cli.report.pictures import (
    ErrorMap,
    data_uri,
    error_colours,
    error_uri,
    fit,
    map_errors,
    most_different,
)

# What is shown unscaled of pictures that had to be scaled down.
_DETAIL_HEIGHT, _DETAIL_WIDTH = 480, 720
_LEGEND_STEPS = 24
_MAP_OF_ERRORS, _MAP_OF_CHANGES = "Error map", "Map of changes"


def draw_viewers(comparison: Comparison, level: int, max_side: int) -> str:
    """Draw the pictures, and if they are scaled down, where they differ most as well.

    `level`: of the heading that tells the second from the first.
    """
    whole = _draw_viewer(comparison, max_side)
    height, width = comparison.after.shape[:2]
    other = _reference(comparison)
    if other is None or max(height, width) <= max_side:
        return whole
    rows, columns = most_different(
        comparison.after, other[1], min(_DETAIL_HEIGHT, max_side), min(_DETAIL_WIDTH, max_side)
    )
    cut = {part: pixels[rows, columns] for part, pixels in comparison.pictures.items()}
    detail = replace(comparison, before=cut.get(BEFORE), after=cut[AFTER], target=cut.get(TARGET))
    place = f"{columns.start} pixels from the left, {rows.start} from the top"
    heading = (
        f'<h{level} class="detail">Unscaled: the part where {text(comparison.names[AFTER])} and '
        f"{text(comparison.names[other[0]])} differ most ({place})</h{level}>"
    )
    return whole + _draw_viewer(detail, max_side, heading)


def _reference(comparison: Comparison) -> tuple[str, Pixels] | None:
    """Give what the result is measured against: the target, or else what it was made from."""
    for part in (TARGET, BEFORE):
        if part in comparison.pictures:
            return part, comparison.pictures[part]
    return None


def _draw_viewer(comparison: Comparison, max_side: int, heading: str = "") -> str:
    reference = _reference(comparison)
    figures = [
        _figure(comparison, part, pixels, max_side) for part, pixels in comparison.pictures.items()
    ]
    about = f"<span>{_size_note(comparison.after, max_side)}</span>"
    if reference is not None:
        maps = _map_all(comparison, reference[1])
        figures += [_map_figure(comparison, part, errors, max_side) for part, errors in maps]
        about = _legend(comparison, reference[0], maps[-1][1]) + about
    name = _MAP_OF_ERRORS if TARGET in comparison.pictures else _MAP_OF_CHANGES
    return (
        f'<div class="viewer" data-map="{name}">\n'
        f'{heading}<div class="pictures">\n{"".join(figures)}</div>\n'
        f'<p class="about">{about}</p>\n</div>\n'
    )


def _map_all(comparison: Comparison, reference: Pixels) -> list[tuple[str, ErrorMap]]:
    """Map what differs from the target, of both pictures alike; else what was changed."""
    after = map_errors(comparison.after, reference)
    maps = [(AFTER, after)]
    if comparison.before is not None and comparison.before is not reference:
        # One scale for both, so that the maps can be compared.
        maps.insert(0, (BEFORE, map_errors(comparison.before, reference, after.gain)))
    return maps


def _figure(comparison: Comparison, part: str, pixels: Pixels, max_side: int) -> str:
    shown = fit(pixels, max_side)
    height, width = shown.shape[:2]
    label = text(comparison.names[part])
    return (
        f'<figure data-part="{part}">'
        f'<img src="{data_uri(shown, exact=shown is pixels)}" width="{width}" height="{height}" '
        f'alt="{label}: {text(comparison.title)}" draggable="false">'
        f'<figcaption dir="auto">{label}</figcaption></figure>\n'
    )


def _map_figure(comparison: Comparison, part: str, errors: ErrorMap, max_side: int) -> str:
    address, (height, width) = error_uri(errors, max_side)
    caption = f"Differences of {text(comparison.names[part])}"
    return (
        f'<figure class="map" data-part="{part}">'
        f'<img src="{address}" width="{width}" height="{height}" '
        f'alt="{caption}: {text(comparison.title)}" draggable="false">'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _legend(comparison: Comparison, reference: str, errors: ErrorMap) -> str:
    """Say what a map's colours mean."""
    name = text(comparison.names[reference])
    kind = _MAP_OF_ERRORS if reference == TARGET else _MAP_OF_CHANGES
    shown = np.linspace(0, 255, _LEGEND_STEPS).round().astype(int)
    colours = error_colours()[shown]
    boxes = "".join(
        f'<rect x="{place}" width="1" height="1" fill="#{bytes(colour).hex()}"/>'
        for place, colour in enumerate(colours)
    )
    return (
        f'<span class="legend"><span>{kind}: difference from {name}, the largest of the three '
        f"channels, \N{MULTIPLICATION SIGN} {errors.gain}</span>"
        f'<span class="scale">0 <svg viewBox="0 0 {_LEGEND_STEPS} 1" preserveAspectRatio="none" '
        f'shape-rendering="crispEdges" aria-hidden="true">{boxes}</svg> '
        f"{errors.brightest} of 255 or more</span></span>"
    )


def _size_note(pixels: Pixels, max_side: int) -> str:
    """Give the size, and say so if what is shown is not exactly the picture."""
    height, width = pixels.shape[:2]
    if max(height, width) <= max_side:
        return f"{size(height, width)} pixels"
    shown = fit(pixels[..., 0], max_side).shape
    return f"Scaled down: {size(*shown)} of {size(height, width)} pixels, compressed lossily"
