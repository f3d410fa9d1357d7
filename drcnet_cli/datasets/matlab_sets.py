"""Data sets whose pictures lie in MATLAB's files: SIDD's blocks and DND."""

from pathlib import Path

import numpy as np

from drcnet_cli.datasets.case import Array, Case, Suite
from drcnet_cli.datasets.layouts import Found, find_file
from drcnet_cli.datasets.matlab import Blocks, read_array, read_cells
from drcnet_cli.errors import ImageError, UsageError

_NOISY, _CLEAN, _BENCHMARK = (
    "ValidationNoisyBlocksSrgb",
    "ValidationGtBlocksSrgb",
    "BenchmarkNoisyBlocksSrgb",
)


def sidd_validation(folder: Path) -> Found | None:
    """Find SIDD's validation blocks: 40 images of 32 blocks of 256 x 256 pixels."""
    noisy, clean = (find_file(folder, f"{name}.mat") for name in (_NOISY, _CLEAN))
    if not noisy:
        return None

    def suite() -> Suite:
        if not clean:
            raise UsageError(
                f"{noisy} is there, but not the clean blocks.", f"Put {_CLEAN}.mat beside it."
            )
        degraded, target = Blocks(noisy, _NOISY), Blocks(clean, _CLEAN)
        if (degraded.images, degraded.blocks) != (target.images, target.blocks):
            raise UsageError(f"{noisy} and {clean} hold different numbers of blocks.")
        return Suite(_block_cases(degraded, target), f"{noisy} and {clean.name}")

    return Found(suite, sure=True)


def sidd_benchmark(folder: Path) -> Found | None:
    """Find SIDD's benchmark blocks, whose clean ones are not public."""
    noisy = find_file(folder, f"{_BENCHMARK}.mat")
    if not noisy:
        return None
    return Found(
        lambda: Suite(_block_cases(Blocks(noisy, _BENCHMARK), None), str(noisy)), sure=True
    )


def dnd(folder: Path) -> Found | None:
    """Find DND: info.mat, and images_srgb/0001.mat to 0050.mat, of each of which 20 boxes count."""
    info, images = find_file(folder, "info.mat"), folder / "images_srgb"
    if not info or not images.is_dir():
        return None

    def suite() -> Suite:
        boxes = [_checked(info, table) for table in read_cells(info, "info", "boundingboxes")]
        cases = tuple(
            _box_case(images / f"{image:04}.mat", f"{image:04}_{number:02}", box)
            for image, image_boxes in enumerate(boxes, 1)
            for number, box in enumerate(image_boxes, 1)
        )
        return Suite(cases, f"{images} and {info.name}")

    return Found(suite, sure=True)


def _block_cases(degraded: Blocks, target: Blocks | None) -> tuple[Case, ...]:
    def case(image: int, block: int) -> Case:
        def load() -> tuple[Array, Array | None]:
            place = (image, block)
            return degraded[place], target[place] if target else None

        return Case(f"{image + 1:04}-{block + 1:02}", load)

    return tuple(
        case(image, block) for image in range(degraded.images) for block in range(degraded.blocks)
    )


def _checked(info: Path, boxes: Array) -> Array:
    """Give boxes x (first row, first column, last row, last column), counted from 1."""
    if boxes.ndim == 2 and boxes.shape[1] == 4 and boxes.dtype.kind in "uif":
        first, last = boxes[:, :2], boxes[:, 2:]
        if np.isfinite(last).all() and ((first >= 1) & (last >= first)).all():
            return boxes
    raise ImageError(f"{info} is damaged: its boxes are no boxes.", "Download it again.")


def _box_case(path: Path, name: str, box: Array) -> Case:
    top, left, bottom, right = (int(number) for number in box)

    def load() -> tuple[Array, None]:
        window = (slice(top - 1, bottom), slice(left - 1, right), slice(None))
        return np.ascontiguousarray(read_array(path, "InoisySRGB", window), np.float32), None

    return Case(name, load)
