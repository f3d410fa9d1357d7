"""Contact sheets: rows of photographs or drawn scenes, each clean and then degraded."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from drcnet_cli.degrade import Streaks, degrade
from drcnet_cli.degrade.base import Array
from drcnet_cli.errors import UsageError
from drcnet_cli.imageio import Picture, format_for, write_picture
from drcnet_cli.imageio.folder import find_pictures, read_rgb8
from drcnet_cli.imageio.pixels import to_uint8, to_unit
from drcnet_cli.imageio.transparency import Colour

_ROWS = 4
_CAPTION = 20
_GAP = 4


def write_sheet(
    path: Path,
    source: Path | None,
    kind: str,
    *,
    seed: int,
    streaks: Streaks = (),
    background: Colour | None = None,
) -> None:
    """Write a sheet of a picture, of some of a folder's, or of drawn scenes where there is none.

    `streaks`: rendered rain layers to draw from, too. `background`: what transparency is laid on.
    Raises UsageError for a folder without pictures and for a sheet whose name says no format,
    ImageError for a damaged picture or a sheet that cannot be written.
    """
    if source is not None and path.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            f"{path} lies among the photographs of {source}, or is one.",
            "Name a sheet elsewhere",
        )
    try:
        format_for(path)
    except UsageError as error:
        raise UsageError(error.message, f"Name the sheet {path.with_suffix('.png')}") from None
    if source is None:
        photographs = drawn_scenes(_ROWS, seed=seed)
    else:
        paths = _choose_some(source, _ROWS, seed=seed)
        photographs = [read_rgb8(path, background) for path in paths]
    sheet = contact_sheet(photographs, kind, seed=seed, streaks=streaks)
    write_picture(Picture(sheet), path)


def contact_sheet(
    photographs: Sequence[Array],
    kind: str,
    *,
    seed: int,
    columns: int = 4,
    side: int = 256,
    streaks: Streaks = (),
) -> Array:
    """Lay out photographs (H x W x 3, uint8) and `columns` degradations of each: H x W x 3, uint8.

    Shows the middle of each photograph, at most `side` pixels wide and high. Captions give the PSNR
    of a degraded picture, in dB over RGB; its mask, where it has one, stands beside it. Each cell
    has a seed of its own.
    """
    rows = []
    for row, photograph in enumerate(photographs):
        image = _middle(photograph, side)
        cells = [_cell(image, "clean", side)]
        for column in range(columns):
            pair = degrade(image, kind, np.random.default_rng((seed, row, column)), streaks)
            cells.append(_cell(pair.degraded, _psnr_caption(pair.degraded, pair.clean), side))
            if pair.mask is not None:
                mask = np.repeat(pair.mask, 3, 0)
                cells.append(_cell(mask, f"mask, {pair.mask.mean():.0%}", side))
        rows.append(np.hstack(cells))
    return np.vstack(rows)


def drawn_scenes(count: int, *, seed: int, side: int = 256) -> list[Array]:
    """Draw scenes to show degradations on where there is no photograph: H x W x 3, uint8."""
    scenes = (draw_scene(np.random.default_rng((seed, n)), side, side) for n in range(count))
    return [to_uint8(scene).transpose(1, 2, 0) for scene in scenes]


def draw_scene(rng: np.random.Generator, height: int, width: int) -> Array:
    """Draw a scene, float32 3 x H x W: shaded discs and boxes that hide one another.

    Sizes follow a power law, as in the dead-leaves model of natural images (Lee, Mumford and Huang
    2001), so that there are edges and flat areas of all sizes.
    """
    top, bottom = rng.uniform(0.3, 0.9, 3), rng.uniform(0.05, 0.6, 3)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    scene = np.ascontiguousarray(
        np.broadcast_to((1 - down) * top + down * bottom, (height, width, 3))
    )
    scene = scene.astype(np.float32)
    side = min(height, width)
    for size in sorted(side * 0.4 * rng.pareto(1.2, 120).clip(0.03, 1), reverse=True):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        shade = rng.uniform(0.05, 1) ** 1.5 * (1 + 0.4 * rng.uniform(-1, 1, 3))
        color = tuple(float(level) for level in shade)
        extent = (max(1, round(size)), max(1, round(size * rng.uniform(0.3, 1))))
        if rng.random() < 0.5:
            cv2.ellipse(scene, center, extent, rng.uniform(0, 180), 0, 360, color, -1, cv2.LINE_AA)
        else:
            corner = (center[0] + extent[0], center[1] + extent[1])
            cv2.rectangle(scene, center, corner, color, -1)
    fine = rng.standard_normal((height, width, 1), dtype=np.float32)
    texture = cv2.GaussianBlur(fine, (0, 0), 1.2)[..., None]
    shaded = np.clip(scene * (1 + np.float32(0.15) * texture), 0, 1)
    return np.ascontiguousarray(shaded.transpose(2, 0, 1))


def _choose_some(source: Path, count: int, *, seed: int) -> list[Path]:
    """Return a picture, or `count` random ones of a folder; raises UsageError without any."""
    if source.is_file():
        return [source]
    paths = find_pictures(source) if source.is_dir() else []
    if not paths:
        raise UsageError(f"There are no pictures in {source}.", "Name a folder of photographs.")
    order = np.random.default_rng(seed).permutation(len(paths))[:count]
    return [paths[number] for number in sorted(order)]


def _middle(photograph: Array, side: int) -> Array:
    height, width = photograph.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    cut = photograph[top : top + side, left : left + side]
    return np.ascontiguousarray(to_unit(cut).transpose(2, 0, 1))


def _psnr_caption(degraded: Array, clean: Array) -> str:
    error = float(np.mean((degraded - clean) ** 2))
    return f"{-10 * np.log10(error):.1f} dB" if error > 0 else "unchanged"


def _cell(image: Array, caption: str, side: int) -> Array:
    """Put an image of at most side x side on black, its caption below."""
    cell = np.zeros((side + _CAPTION + _GAP, side + _GAP, 3), np.uint8)
    pixels = to_uint8(image).transpose(1, 2, 0)
    cell[: pixels.shape[0], : pixels.shape[1]] = pixels
    position, white = (4, side + _CAPTION - 6), (255, 255, 255)
    cv2.putText(cell, caption, position, cv2.FONT_HERSHEY_SIMPLEX, 0.45, white, 1, cv2.LINE_AA)
    return cell
