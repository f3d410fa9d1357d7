"""Results for the benchmarks whose clean pictures are not public, as their sites take them.

DND (noise.visinf.tu-darmstadt.de): the bundle of the official kit, compared with its MATLAB
`bundle_submission_srgb.m` and Python `bundle_submissions_srgb`, as public repositories keep them:
one `0001.mat` ... `0050.mat` an image, with `Idenoised`, a 1 x 20 cell of the boxes' H x W x 3
single in [0, 1]; `israw` = false; `eval_version` = '1.0'. The folder's contents are submitted.

SIDD (abdokamel.github.io/sidd): `SubmitSrgb.mat` of the official `SIDD_Denoise.m` and
`DenoiseSrgb.m`, as public repositories keep them: `DenoisedBlocksSrgb`, a 40 x 32 cell of 256 x 256
x 3 blocks, uint8 as the blocks that the site gives; `TimeMPSrgb`, seconds a megapixel;
`OptionalData`, a struct of texts. As its server is closed and a Kaggle contest takes its place,
`SubmitSrgb.csv` is written for that: columns ID, from 0, and BLOCK, the block's bytes row by row in
base64.

Both were checked against those scripts, not by submitting.
"""

import base64
import csv
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from drcnet_cli.datasets.layouts import Array, Case
from drcnet_cli.datasets.suite import Suite, TestSet
from drcnet_cli.errors import UsageError
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.imageio.pixels import to_uint8, to_unit
from drcnet_cli.progress import Progress, untold
from drcnet_cli.version import __version__

Restore = Callable[[Array], Array]


def write_bundle(
    test_set: TestSet,
    suite: Suite,
    restore: Restore,
    folder: Path,
    progress: Progress = untold,
) -> Path:
    """Restore every case and write what the benchmark's site takes to `folder`; return that folder.

    `restore` takes and returns H x W x 3, uint8 or float32 in [0, 1]. Each
    file appears whole or not at all. Raises UsageError for any other
    benchmark or if scipy is missing, and whatever a case or `restore` raises.
    """
    writers = {"dnd": _write_dnd, "sidd-benchmark": _write_sidd}
    if test_set.name not in writers:
        raise UsageError(f"{test_set.title} has public targets and takes no submissions.")
    scipy_io = _scipy_io()
    folder.mkdir(parents=True, exist_ok=True)
    writers[test_set.name](suite, restore, folder, progress, scipy_io)
    return folder


def _write_dnd(
    suite: Suite, restore: Restore, folder: Path, progress: Progress, scipy_io: ModuleType
) -> None:
    done = 0
    for image, cases in groupby(suite.cases, key=lambda case: case.name.partition("_")[0]):
        boxes = [
            to_unit(result).clip(0, 1)
            for result in _restored(cases, restore, progress, done, len(suite.cases))
        ]
        done += len(boxes)
        content = {"Idenoised": _cell([boxes]), "israw": False, "eval_version": "1.0"}
        _save(folder / f"{image}.mat", content, scipy_io)


def _write_sidd(
    suite: Suite, restore: Restore, folder: Path, progress: Progress, scipy_io: ModuleType
) -> None:
    seconds = 0.0

    def timed(pixels: Array) -> Array:
        nonlocal seconds
        started = time.perf_counter()
        result = restore(pixels)
        seconds += time.perf_counter() - started
        return result

    blocks = [
        to_uint8(result)
        for result in _restored(iter(suite.cases), timed, progress, 0, len(suite.cases))
    ]
    names = [case.name.partition("-")[0] for case in suite.cases]
    rows = [
        [block for _, block in row]
        for _, row in groupby(zip(names, blocks, strict=True), key=lambda item: item[0])
    ]
    megapixels = sum(block.shape[0] * block.shape[1] for block in blocks) / 2**20
    content = {
        "DenoisedBlocksSrgb": _cell(rows),
        "TimeMPSrgb": seconds / megapixels,
        "OptionalData": {
            "MethodName": f"drcnet {__version__}",
            "Authors": "",
            "PaperTitle": "",
            "Venue": "",
        },
    }
    _save(folder / "SubmitSrgb.mat", content, scipy_io)
    _save_csv(folder / "SubmitSrgb.csv", blocks)


def _restored(
    cases: Iterator[Case], restore: Restore, progress: Progress, done: int, count: int
) -> Iterator[Array]:
    for number, case in enumerate(cases, done + 1):
        degraded, _ = case.load()
        yield restore(degraded)
        progress(number, count)


def _cell(rows: list[list[Array]]) -> Array:
    """Put arrays into the cells of a MATLAB cell array; raises UsageError for uneven rows."""
    if len({len(row) for row in rows}) != 1:
        raise UsageError("The benchmark's images have different numbers of blocks.")
    cells = np.empty((len(rows), len(rows[0])), object)
    for place in np.ndindex(cells.shape):
        cells[place] = rows[place[0]][place[1]]
    return cells


def _save(path: Path, content: dict[str, Any], scipy_io: ModuleType) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        scipy_io.savemat(file, content, do_compression=True)


def _save_csv(path: Path, blocks: list[Array]) -> None:
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="ascii", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("ID", "BLOCK"))
        for number, block in enumerate(blocks):
            writer.writerow((number, base64.b64encode(block.tobytes()).decode("ascii")))


def _scipy_io() -> ModuleType:
    try:
        import scipy.io
    except ImportError as error:
        raise UsageError(
            "Writing a submission needs scipy, which isn't installed.",
            "pip install 'drcnet[eval]'",
        ) from error
    return scipy.io
