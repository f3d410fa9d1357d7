"""The published results that ours are printed beside, each with the table it stands in.

`published.json` holds them: every figure was read in the table named beside it, or in a later
paper's that quotes it (`via`); `read` says where that table was read, and `agrees` which others
have the same figures. None is from memory.

Missing, because they could not be read: the DRCNet paper's own tables, save its 38.23 dB on
Rain100L and its SSIM of 0.972 on SIDD; RealBlur of models trained on RealBlur, of DeblurGAN and of
DeblurGAN-v2; SPAIR on RealBlur-R. SPAIR's paper has no denoising. Nothing is published for PolyU in
the tables of DRCNet, AirNet and SPAIR. The other methods' rows of the DRCNet paper stand here as
HINet's and DGUNet's tables give them.
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
    """

    method: str
    year: int
    benchmark: str
    psnr: float | None
    ssim: float | None
    source: str
    via: str | None = None
    other_ssim: bool = False


def published_for(benchmark: str) -> tuple[PublishedScore, ...]:
    """Return what is published for a benchmark, the best PSNR last; nothing for an unknown one.

    Beside the keys of `TEST_SETS` there are `rain-average`, the five rain sets' mean, and
    `rain100l-rgb`, AirNet's protocol for Rain100L.
    """
    return _scores().get(benchmark, ())


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
    """Read a table's scores; a row has a [PSNR, SSIM] for each of its benchmarks, or null."""
    source = _cite(table["source"], table["table"])
    via = _cite(*table["via"]) if table["via"] else None
    for method, cells in table["rows"].items():
        year = _document()["years"][method]
        for benchmark, cell in zip(table["benchmarks"], cells, strict=True):
            if cell is not None:
                psnr, ssim = cell
                yield PublishedScore(
                    method, year, benchmark, psnr, ssim, source, via, table.get("other_ssim", False)
                )


def _cite(key: str, table: str | None) -> str:
    label = sources()[key].label
    return f"{label}, {table}" if table else label


def _rank(score: PublishedScore) -> tuple[float, int, str]:
    return (-inf if score.psnr is None else score.psnr, score.year, score.method)
