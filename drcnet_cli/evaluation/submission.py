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
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from drcnet_cli.datasets.search import Array, Case
from drcnet_cli.datasets.suite import Suite, TestSet
from drcnet_cli.errors import UsageError, import_extra
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.imageio.pixels import to_uint8, to_unit
from drcnet_cli.progress import Progress, no_progress
from drcnet_cli.version import __version__

Restore = Callable[[Array], Array]


def write_bundle(
    test_set: TestSet,
    suite: Suite,
    restore: Restore,
    folder: Path,
    progress: Progress = no_progress,
) -> Path:
    """Restore every case and write what the benchmark's site takes to `folder`; return that folder.

    `restore` takes and returns H x W x 3, uint8 or float32 in [0, 1]. Each
    file appears whole or not at all. Raises UsageError for any other
    benchmark or if scipy is missing, and whatever a case or `restore` raises.
    """
    writers = {"dnd": _write_dnd, "sidd-benchmark": _write_sidd}
    if test_set.name not in writers:
        raise UsageError(f"{test_set.title} has public targets and takes no submissions.")
    problem = "Writing a submission needs scipy, which isn't installed."
    scipy_io = import_extra("scipy.io", "eval", problem)
    folder.mkdir(parents=True, exist_ok=True)
    writers[test_set.name](_restored(suite.cases, restore, progress), folder, scipy_io)
    return folder


class _Restored(NamedTuple):
    """A restored picture; `image` is the part of its case's name that it shares with others."""

    image: str
    pixels: Array
    seconds: float


def _restored(cases: Sequence[Case], restore: Restore, progress: Progress) -> Iterator[_Restored]:
    for number, case in enumerate(cases, 1):
        degraded, _ = case.load()
        started = time.perf_counter()
        pixels = restore(degraded)
        yield _Restored(re.split("[-_]", case.name)[0], pixels, time.perf_counter() - started)
        progress(number, len(cases))


def _write_dnd(restored: Iterator[_Restored], folder: Path, scipy_io: ModuleType) -> None:
    for image, parts in groupby(restored, key=lambda part: part.image):
        boxes = [to_unit(part.pixels).clip(0, 1) for part in parts]
        content = {"Idenoised": _cell([boxes]), "israw": False, "eval_version": "1.0"}
        _save(folder / f"{image}.mat", content, scipy_io)


def _write_sidd(restored: Iterator[_Restored], folder: Path, scipy_io: ModuleType) -> None:
    seconds, rows = 0.0, []
    for _, parts in groupby(restored, key=lambda part: part.image):
        row = list(parts)
        seconds += sum(part.seconds for part in row)
        rows.append([to_uint8(part.pixels) for part in row])
    blocks = [block for row in rows for block in row]
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
