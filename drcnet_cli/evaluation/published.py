"""The published results that ours are printed beside, each with the table it stands in.

`published.json` holds them: every figure was read in the table named beside it, or in a later
paper's that quotes it (`via`); `read` says where that table was read, and `agrees` which others
have the same figures. None is from memory. A method's own paper comes before another that quotes
it; where tables differ, and where one has a misprint, what is not believed stands in `set_aside`
and is never shown. `reductions`: of the average errors, in percent, as the paper prints them.

Missing: DND in the DRCNet paper but for its own row; DeblurGAN and DeblurGAN-v2 on RealBlur-R;
SPAIR on RealBlur-R. Nothing is published for PolyU in the tables of DRCNet, AirNet and SPAIR.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

from drcnet_cli.errors import DrcnetError

PAPER = "DRCNet"
_FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class Paper:
    """Where results were published: `label` names its method; `identifier`: arXiv id or pages."""

    label: str
    authors: str
    title: str
    venue: str
    year: int
    identifier: str


@dataclass(frozen=True)
class PublishedScore:
    """A method's result on a benchmark: PSNR in dB and SSIM in 0..1, None where not known.

    `year` is the method's. `source` names the paper and, if known, its table; `via` those that the
    figures were read in, None if in `source` itself. `other_ssim`: of another variant than ours.
    `rmse`: in Lab, of the shadow, of the rest and of the whole picture, which shadow removal is
    measured by instead. `study`: of a part of the method, or of other training data, as its paper
    takes it apart.
    """

    method: str
    year: int
    benchmark: str
    psnr: float | None
    ssim: float | None
    source: str
    via: str | None = None
    other_ssim: bool = False
    rmse: tuple[float, float, float] | None = None
    study: bool = False


def published_for(benchmark: str, *, studies: bool = False) -> tuple[PublishedScore, ...]:
    """Return what is published for a benchmark, the best last; nothing for an unknown one.

    `studies`: those, too. Keys need not be of `TEST_SETS`: `rain-average` and `airnet-average` are
    means over several sets, and names that end in `-own` are of networks trained on the very set.
    """
    scores = _scores().get(benchmark, ())
    return tuple(score for score in scores if studies or not score.study)


def paper_score(benchmark: str) -> PublishedScore | None:
    """Return the DRCNet paper's own result, as far as it is known."""
    own = (score for score in published_for(benchmark) if score.method == PAPER)
    return next(own, None)


def remark(benchmark: str) -> str:
    """Say how the published results of a benchmark were measured; "" if there are none."""
    notes = (note["text"] for note in _document()["remarks"] if benchmark in note["benchmarks"])
    return next(notes, "")


def published_benchmarks() -> tuple[str, ...]:
    """Return the keys that something is published for."""
    return tuple(_scores())


@cache
def sources() -> dict[str, Paper]:
    """Return the papers by their key in the file."""
    return {key: Paper(**fields) for key, fields in _document()["sources"].items()}


@cache
def _document() -> dict[str, Any]:
    try:
        return json.loads(_FILE.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DrcnetError(
            f"{_FILE} cannot be read: {error}.",
            "Install drcnet again: pip install --force-reinstall drcnet",
        ) from error


@cache
def _scores() -> dict[str, tuple[PublishedScore, ...]]:
    found: dict[str, list[PublishedScore]] = {}
    for table in _document()["tables"]:
        for score in _read(table):
            found.setdefault(score.benchmark, []).append(score)
    return {key: tuple(sorted(scores, key=_rank)) for key, scores in found.items()}


def _read(table: dict[str, Any]) -> Iterator[PublishedScore]:
    """Read a table's scores; a row has a cell for each of its benchmarks, or null.

    A cell is [PSNR, SSIM], or what `measure` says.
    """
    shared = {
        "source": _cite(table["source"], table["table"]),
        "via": _cite(*table["via"]) if table["via"] else None,
        "other_ssim": table.get("other_ssim", False),
        "study": table.get("study", False),
    }
    for method, cells in table["rows"].items():
        year = _document()["years"][method]
        for benchmark, cell in zip(table["benchmarks"], cells, strict=True):
            if cell is not None:
                yield PublishedScore(method, year, benchmark, **_figures(table, cell), **shared)


def _figures(table: dict[str, Any], cell: list[float | None]) -> dict[str, Any]:
    if table.get("measure") == "lab-rmse":
        return {"psnr": None, "ssim": None, "rmse": tuple(cell)}
    return dict(zip(("psnr", "ssim"), cell, strict=True))


def _cite(key: str, table: str | None) -> str:
    label = sources()[key].label
    return f"{label}, {table}" if table else label


def _rank(score: PublishedScore) -> tuple[float, int, str]:
    quality = -score.rmse[-1] if score.rmse else -inf
    return (quality if score.psnr is None else score.psnr, score.year, score.method)
