"""Large pictures cut into crops once, so that training need not decode a whole one for a corner.

Run over both folders of a data set with the same sizes, it gives crops of the same names.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from drcnet_cli.errors import DrcnetError, ImageError, UsageError
from drcnet_cli.imageio.folder import Pixels, find_pictures, read_rgb8, write_png
from drcnet_cli.imageio.transparency import Colour
from drcnet_cli.progress import Progress, no_progress

THREADS = 4  # that cut pictures, where nobody says how many


@dataclass(frozen=True)
class CropPlan:
    """How pictures are cut: side and stride in pixels, after shrinking by a whole number.

    A remainder at the end of a row or column narrower than `least` pixels is dropped; a wider one
    gets a crop of its own, aligned to the edge. Pictures smaller than a crop are kept as they are.
    """

    size: int = 512
    stride: int = 384
    shrink: int = 1
    least: int = 96

    def __post_init__(self) -> None:
        """Check the ranges; raises UsageError."""
        if not (self.size >= 8 and self.stride >= 1 and self.shrink >= 1 and self.least >= 0):
            raise UsageError(
                f"Crops of {self.size} pixels every {self.stride}, shrunk by {self.shrink}, cannot "
                "be cut.",
                "Such as: --size 512 --stride 384 --shrink 2",
            )


@dataclass(frozen=True)
class Prepared:
    """What was done: pictures found, crops written, pictures that could not be read."""

    pictures: int
    written: int
    failed: tuple[ImageError, ...]


def starts(length: int, plan: CropPlan) -> list[int]:
    """Return where crops start along one side of `length` pixels."""
    if length <= plan.size:
        return [0]
    positions = list(range(0, length - plan.size + 1, plan.stride))
    if length - (positions[-1] + plan.size) > plan.least:
        positions.append(length - plan.size)
    return positions


def cut_picture(pixels: Pixels, plan: CropPlan) -> Iterator[Pixels]:
    """Return a picture's crops (H x W x 3), row by row."""
    if plan.shrink > 1:
        height, width = (max(1, length // plan.shrink) for length in pixels.shape[:2])
        # INTER_AREA averages whole blocks: for each factor, the noise of JPEG goes down by it.
        whole = pixels[: height * plan.shrink, : width * plan.shrink]
        smaller = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(smaller, np.uint8)
    for top in starts(pixels.shape[0], plan):
        for left in starts(pixels.shape[1], plan):
            yield pixels[top : top + plan.size, left : left + plan.size]


def prepare_folder(
    source: Path,
    destination: Path,
    plan: CropPlan,
    *,
    overwrite: bool = False,
    background: Colour | None = None,
    threads: int = THREADS,
    progress: Progress = no_progress,
) -> Prepared:
    """Cut all pictures below `source` into PNGs below `destination`, the folders mirrored.

    `a/b.jpg` gives `a/b_c001.png` and so on; damaged pictures are left out and reported.
    Transparency is laid on `background`, and left out where that is None. `overwrite` allows
    pictures in `destination` and replaces all crops of the same pictures there. Raises UsageError
    before any work starts, and DrcnetError if a crop cannot be written.
    """
    stems = _plan_names(source, destination, overwrite)

    def work(path: Path) -> int | ImageError:
        return _prepare(path, destination / stems[path], plan, background)

    results = []
    with ThreadPoolExecutor(threads) as pool:
        for done, result in enumerate(pool.map(work, stems), 1):
            results.append(result)
            progress(done, len(stems))
    failed = tuple(result for result in results if isinstance(result, ImageError))
    written = sum(result for result in results if isinstance(result, int))
    return Prepared(len(stems), written, failed)


def _plan_names(source: Path, destination: Path, overwrite: bool) -> dict[Path, Path]:
    """Return each picture's name without type below `source`; raises UsageError before any work."""
    paths = find_pictures(source) if source.is_dir() else []
    if not paths:
        raise UsageError(f"There are no pictures in {source}.", "drcnet data prepare SRC DST")
    if destination.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            f"{destination} lies within {source}: its crops would be cut again.",
            "Give a folder elsewhere.",
        )
    if not overwrite and destination.is_dir() and find_pictures(destination):
        raise UsageError(
            f"{destination} holds pictures already.", "Give another folder, or --overwrite"
        )
    stems = {path: path.relative_to(source).with_suffix("") for path in paths}
    counts = Counter(stems.values())
    if clashes := [path for path in paths if counts[stems[path]] > 1]:
        raise UsageError(f"Several pictures are named {clashes[0].with_suffix('')}.", "Rename one.")
    return stems


def _prepare(path: Path, stem: Path, plan: CropPlan, background: Colour | None) -> int | ImageError:
    """Cut one picture; return how many crops were written."""
    try:
        crops = list(cut_picture(read_rgb8(path, background), plan))
    except ImageError as error:
        return error
    except MemoryError:
        return ImageError(f"{path} is too large for this machine's memory.")
    for number, crop in enumerate(crops, 1):
        _write(_crop_path(stem, number), crop)
    # Of an earlier run with smaller crops.
    number = len(crops) + 1
    while (stale := _crop_path(stem, number)).exists():
        stale.unlink()
        number += 1
    return len(crops)


def _write(path: Path, crop: Pixels) -> None:
    try:
        write_png(path, crop)
    except ImageError as error:
        raise DrcnetError(
            error.message,
            "Make room, or name another folder; then call it again, with --overwrite.",
        ) from error


def _crop_path(stem: Path, number: int) -> Path:
    return stem.with_name(f"{stem.name}_c{number:03}.png")
