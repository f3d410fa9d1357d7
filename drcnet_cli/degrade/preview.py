"""Contact sheets: rows of photographs, each clean and then degraded several times."""

from collections.abc import Sequence

import cv2
import numpy as np

from drcnet_cli.degrade import Streaks, degrade
from drcnet_cli.degrade.base import Array
from drcnet_cli.degrade.scene import draw_scene

_CAPTION = 20
_GAP = 4


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
    of a degraded picture, in dB over RGB. Each cell has a seed of its own.
    """
    rows = []
    for row, photograph in enumerate(photographs):
        image = _middle(photograph, side)
        cells = [_cell(image, "clean", side)]
        for column in range(columns):
            pair = degrade(image, kind, np.random.default_rng((seed, row, column)), streaks)
            cells.append(_cell(pair.degraded, _psnr_caption(pair.degraded, pair.clean), side))
        rows.append(np.hstack(cells))
    return np.vstack(rows)


def drawn_scenes(count: int, *, seed: int, side: int = 256) -> list[Array]:
    """Draw scenes to show degradations on where there is no photograph: H x W x 3, uint8."""
    scenes = (draw_scene(np.random.default_rng((seed, n)), side, side) for n in range(count))
    return [_to_uint8(scene) for scene in scenes]


def _middle(photograph: Array, side: int) -> Array:
    height, width = photograph.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    cut = photograph[top : top + side, left : left + side]
    return np.ascontiguousarray(cut.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


def _to_uint8(image: Array) -> Array:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def _psnr_caption(degraded: Array, clean: Array) -> str:
    error = float(np.mean((degraded - clean) ** 2))
    return f"{-10 * np.log10(error):.1f} dB" if error > 0 else "unchanged"


def _cell(image: Array, caption: str, side: int) -> Array:
    """Put an image of at most side x side on black, its caption below."""
    cell = np.zeros((side + _CAPTION + _GAP, side + _GAP, 3), np.uint8)
    pixels = _to_uint8(image)
    cell[: pixels.shape[0], : pixels.shape[1]] = pixels
    position, white = (4, side + _CAPTION - 6), (255, 255, 255)
    cv2.putText(cell, caption, position, cv2.FONT_HERSHEY_SIMPLEX, 0.45, white, 1, cv2.LINE_AA)
    return cell
