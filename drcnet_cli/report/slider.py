"""A comparison's pictures as HTML: side by side, for the page's script to lay under a slider.

They are scaled down where they are large, encoded as text, and their errors mapped.
"""

import base64
import io
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image, features

from drcnet_cli.report.blocks import AFTER, BEFORE, DAMAGE, TARGET, Comparison, Pixels
from drcnet_cli.report.markup import size, text

# What is shown unscaled of pictures that had to be scaled down.
_DETAIL_HEIGHT, _DETAIL_WIDTH = 480, 720
_LEGEND_STEPS = 24
# 99.5 % of a map's pixels stay below the brightest colour with the gain that is chosen.
_GAINS = (16, 8, 4, 2)
_BELOW_WHITE = 99.5
_SEARCHED_SIDE = 2048
# Of pictures that were scaled down, and so are no longer exact anyway.
LOSSY_QUALITY = 90
_MAP_OF_ERRORS, _MAP_OF_CHANGES = "Error map", "Map of changes"


@dataclass(frozen=True)
class ErrorMap:
    """Where two pictures differ: H x W uint8, the largest difference of the three channels.

    `gain`: what differences are multiplied by to be seen.
    """

    differences: Pixels
    gain: int

    @property
    def brightest(self) -> int:
        """Return the difference, in levels of 255, from which on the map is at its brightest."""
        return -(-255 // self.gain)


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
    detail = replace(
        comparison,
        before=cut.get(BEFORE),
        after=cut[AFTER],
        target=cut.get(TARGET),
        damage=cut.get(DAMAGE),
    )
    place = f"{columns.start} pixels from the left, {rows.start} from the top"
    heading = (
        f'<h{level} class="detail">Unscaled: the part where {text(comparison.names[AFTER])} and '
        f"{text(comparison.names[other[0]])} differ most ({place})</h{level}>"
    )
    return whole + _draw_viewer(detail, max_side, heading)


def _reference(comparison: Comparison) -> tuple[str, Pixels] | None:
    """Return what the result is measured against: the target, or else what it was made from."""
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
    """Write the size, and say so if what is shown is not exactly the picture."""
    height, width = pixels.shape[:2]
    if max(height, width) <= max_side:
        return f"{size(height, width)} pixels"
    shown = fit(pixels[..., 0], max_side).shape
    return f"Scaled down: {size(*shown)} of {size(height, width)} pixels, compressed lossily"


def fit(pixels: Pixels, max_side: int) -> Pixels:
    """Scale H x W (x C) down, by averaging, until no side is longer than `max_side`."""
    height, width = pixels.shape[:2]
    if max(height, width) <= max_side:
        return pixels
    scale = max_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def map_errors(picture: Pixels, other: Pixels, gain: int | None = None) -> ErrorMap:
    """Map how far two pictures lie apart; without `gain` a power of two is chosen that shows it."""
    differences = _differences(picture, other)
    if gain is None:
        high = float(np.percentile(differences, _BELOW_WHITE))
        gain = next((gain for gain in _GAINS if high * gain <= 255), 1) if high else 1
    return ErrorMap(differences, gain)


def _differences(picture: Pixels, other: Pixels) -> Pixels:
    red, green, blue = np.moveaxis(cv2.absdiff(picture, other), -1, 0)
    # Twenty times as fast as asking for the largest along an axis of three.
    return np.maximum(np.maximum(red, green), blue)


def most_different(picture: Pixels, other: Pixels, height: int, width: int) -> tuple[slice, slice]:
    """Find the window, rows and columns, in which two pictures differ most on average.

    In large pictures it is found to within a few pixels.
    """
    differences = _differences(picture, other)
    rows, columns = differences.shape
    height, width = min(height, rows), min(width, columns)
    # Sums take 16 bytes a pixel and more, which a hundred megapixels need not cost.
    step = -(-max(rows, columns) // _SEARCHED_SIDE)
    small = fit(differences, max(1, max(rows, columns) // step))
    tall, wide = (max(1, min(small.shape[i], n // step)) for i, n in enumerate((height, width)))
    sums = cv2.integral(small, sdepth=cv2.CV_64F)
    windows = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    place = np.unravel_index(int(windows.argmax()), windows.shape)
    top, left = min(int(place[0]) * step, rows - height), min(int(place[1]) * step, columns - width)
    return slice(top, top + height), slice(left, left + width)


def data_uri(pixels: Pixels, *, exact: bool = True) -> str:
    """Encode H x W x 3 into an address that holds the picture itself, lossless if `exact`."""
    image = Image.fromarray(pixels)
    webp = features.check("webp")
    if exact and webp:
        # For lossless WebP, quality is effort: the best saves 2 % more in five times the time.
        return _address(image, "WEBP", lossless=True, quality=20, method=1)
    if exact:
        return _address(image, "PNG")
    if webp:
        return _address(image, "WEBP", quality=LOSSY_QUALITY)
    return _address(image, "JPEG", quality=LOSSY_QUALITY, subsampling=0)


def error_uri(errors: ErrorMap, max_side: int) -> tuple[str, tuple[int, int]]:
    """Encode an error map, in false colours, into an address; return its height and width, too."""
    levels = fit(errors.differences, max_side).astype(np.uint16) * errors.gain
    colours = error_colours()[levels.clip(0, 255)]
    return data_uri(colours), (colours.shape[0], colours.shape[1])


def error_colours() -> Pixels:
    """Return the 256 colours of error maps, from none to the brightest: 256 x 3, sRGB."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    bgr = np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), np.uint8)
    return np.ascontiguousarray(bgr[:, 0, ::-1])


def _address(image: Image.Image, format: str, **options: int | bool) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{format.lower()};base64,{encoded}"
