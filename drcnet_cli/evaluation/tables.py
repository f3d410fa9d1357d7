"""Evaluations as tables: ours, the input and the published results, for each way of printing."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from drcnet_cli.datasets.evaluation_sets import GROUPS
from drcnet_cli.errors import UsageError
from drcnet_cli.evaluation.published import PublishedScore, paper_score, published_for, remark
from drcnet_cli.evaluation.results import (
    Evaluation,
    ImageScore,
    dssim_reduction,
    grouped,
    rmse_reduction,
)
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.files.writable import check_named
from drcnet_cli.report.blocks import Table
from drcnet_cli.tasks import Protocol

_CHANNELS = {"rgb": "RGB", "y": "Y", "y8": "Y rounded", "yfull8": "Y of 0..255, rounded"}
NO_VALUE = "-"


@dataclass(frozen=True)
class Row:
    """One method's means. `reductions`: ours of its RMSE and DSSIM, in percent.

    `rmse`: in Lab, of the shadow, of the rest and of the whole picture, where shadows are removed.
    """

    method: str
    psnr: float | None
    ssim: float | None
    reductions: tuple[float | None, float | None] = (None, None)
    source: str = ""
    ours: bool = False
    rmse: tuple[float, ...] | None = None

    def cells(self, *, with_rmse: bool = False) -> tuple[str, ...]:
        """Return the row as text, for `HEADER`; `with_rmse` for `RMSE_HEADER` and it."""
        own, *others = self._cells()
        shown = " / ".join(f"{value:.2f}" for value in self.rmse) if self.rmse else NO_VALUE
        return (own, *([shown] if with_rmse else []), *others)

    def _cells(self) -> tuple[str, ...]:
        return (
            self.method,
            _number(self.psnr, ".2f"),
            _number(self.ssim, ".4f" if self._exact() else ".3f"),
            _number(self.reductions[0], "+.1f", " %"),
            _number(self.reductions[1], "+.1f", " %"),
            self.source,
        )

    def _exact(self) -> bool:
        """Tell whether SSIM has four decimals: measured ones have, and some papers' tables."""
        printed = self.source and not self.ours
        return not printed or (self.ssim is not None and round(self.ssim, 3) != self.ssim)


# What `drcnet eval --markdown` writes between, in a page that is otherwise written by hand.
BEGIN, END = "<!-- drcnet eval: begin -->", "<!-- drcnet eval: end -->"
_TITLE, _MADE_BY = "# Scores", "Measured by `"  # of a page that is all its own
HEADER = ("method", "PSNR", "SSIM", "RMSE less", "DSSIM less", "source")
RMSE_HEADER = "RMSE in Lab: shadow / rest / all"  # after the method
HEADER_NOTE = "RMSE less, DSSIM less: by how much the last row's error is below this row's."


def rows(evaluation: Evaluation) -> list[Row]:
    """Return the input, the published results where they may be compared, and ours at the end."""
    published = published_for(evaluation.benchmark) if evaluation.complete else ()
    return _compare([evaluation], published)


def average_rows(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, list[Row]]]:
    """Return each group's mean, where that is published too, for checkpoints that have all sets."""
    for _, measured in grouped(evaluations):
        whole = {item.benchmark: item for item in measured if item.complete}
        for group, members in GROUPS.items():
            published = published_for(f"{group}-average")
            if published and set(members) <= set(whole):
                items = [whole[name] for name in members]
                title = f"Average of {', '.join(item.title for item in items)}"
                yield title, _compare(items, published)


def score_table(evaluation: Evaluation, title: str) -> Table:
    """Lay out an evaluation's rows, ours highlighted."""
    return _lay_out(title, rows(evaluation))


def average_tables(evaluations: Sequence[Evaluation]) -> list[Table]:
    """Lay out the averages of `average_rows`, a table each."""
    return [_lay_out(title, averaged) for title, averaged in average_rows(evaluations)]


def overview_table(evaluations: Sequence[Evaluation]) -> Table:
    """Lay out one row for each data set and checkpoint."""
    return Table("All data sets", OVERVIEW, overview(evaluations))


def _lay_out(title: str, shown: Sequence[Row]) -> Table:
    ours = [index for index, row in enumerate(shown) if row.ours]
    with_rmse = any(row.rmse for row in shown)
    header = (HEADER[0], RMSE_HEADER, *HEADER[1:]) if with_rmse else HEADER
    cells = [row.cells(with_rmse=with_rmse) for row in shown]
    return Table(title, header, cells, HEADER_NOTE, highlighted=ours)


def _compare(items: Sequence[Evaluation], published: Sequence[PublishedScore]) -> list[Row]:
    """Average data sets measured with one checkpoint, and put what is published between."""

    def mean(field: str) -> float:
        return math.fsum(item.mean(field) for item in items) / len(items)

    before, ours = (mean("input_psnr"), mean("input_ssim")), (mean("psnr"), mean("ssim"))
    return [
        Row("input", *before, reductions=_reductions(ours, before), rmse=_rmse(items, "input_")),
        *(_published(score, *ours) for score in published),
        Row(items[0].setting.checkpoint, *ours, source="this run", ours=True, rmse=_rmse(items)),
    ]


def _rmse(items: Sequence[Evaluation], start: str = "") -> tuple[float, ...] | None:
    """Return the difference in Lab of one data set, by region; None where it was not measured."""
    names = [f"{start}lab_{part}" for part in ("inside", "outside", "all")]
    means = items[0].region_means() if len(items) == 1 else {}
    return tuple(means[name] for name in names) if set(names) <= set(means) else None


def _published(score: PublishedScore, psnr: float, ssim: float) -> Row:
    source = f"{score.source}, via {score.via}" if score.via else score.source
    return Row(
        f"{score.method} ({score.year})",
        score.psnr,
        score.ssim,
        _reductions((psnr, ssim), (score.psnr, None if score.other_ssim else score.ssim)),
        source,
        rmse=score.rmse,
    )


def _reductions(
    ours: tuple[float, float], other: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    psnr, ssim = other
    return (
        None if psnr is None else rmse_reduction(ours[0], psnr),
        None if ssim is None else dssim_reduction(ours[1], ssim),
    )


def heading(evaluation: Evaluation) -> str:
    """Name the data set, the number of pictures and how they are scored."""
    count = len(evaluation.images)
    pictures = f"{count} picture{'' if count == 1 else 's'}"
    return f"{evaluation.title}: {pictures}, {describe_protocol(evaluation.protocol)}"


def describe_protocol(protocol: Protocol) -> str:
    """Say how pictures are scored, in a few words."""
    parts = [
        f"PSNR {_CHANNELS[protocol.psnr_channel]}",
        f"SSIM {_CHANNELS[protocol.ssim_channel]} ({protocol.ssim_variant})",
    ]
    if not protocol.rounded:
        parts.append("not rounded")
    if protocol.aligned:
        parts.append("aligned")
    if protocol.lab:
        parts.append("Lab by regions")
    return ", ".join(parts)


def remarks(evaluation: Evaluation) -> list[str]:
    """Say what a reader of the means must know."""
    said = list(evaluation.notes)
    short = evaluation.expected is not None and len(evaluation.images) != evaluation.expected
    if short and not said:
        said.append(
            f"{evaluation.title} has {evaluation.expected} pictures as published; "
            f"{len(evaluation.images)} were measured: not comparable with published means."
        )
    if evaluation.complete and (published := remark(evaluation.benchmark)):
        said.append(published)
    said += [f"{image.name}: {image.note}" for image in evaluation.images if image.note]
    return said


def failures(evaluation: Evaluation) -> list[str]:
    """Say in a sentence which pictures could not be measured, and why; of none, nothing.

    Pages need it. On a terminal each stands on a line of its own as an error.
    """
    if not evaluation.failed:
        return []
    count = len(evaluation.images) + len(evaluation.failed)
    reasons = "; ".join(sentence.rstrip(".") for sentence in evaluation.failed)
    return [f"{len(evaluation.failed)} of {count} pictures could not be measured: {reasons}."]


def further_scores(evaluation: Evaluation) -> list[str]:
    """Say the scores that only some measurements have, a sentence each: regions' and LPIPS."""
    said = [regions] if (regions := describe_regions(evaluation)) else []
    lpips, before = evaluation.mean("lpips"), evaluation.mean("input_lpips")
    if not math.isnan(lpips):
        said.append(f"LPIPS {lpips:.4f}, of the input {before:.4f} (lower is better).")
    return said


def describe_regions(evaluation: Evaluation) -> str:
    """Say what the scores are where the pictures are damaged and elsewhere; "" without masks."""
    means = evaluation.region_means()
    if "psnr_inside" not in means:
        return ""
    kept = _number(means.get("kept_outside", math.nan), ".2f")
    said = (
        f"Inside the masks {_pair(means, 'psnr_inside')} dB, outside "
        f"{_pair(means, 'psnr_outside')} dB, where the result is {kept} dB "
        "from the input (in brackets, the input's)."
    )
    if not evaluation.protocol.lab:
        return said
    regions = (("in the shadow", "inside"), ("outside", "outside"), ("of all", "all"))
    shown = ", ".join(f"{_pair(means, f'lab_{part}')} {where}" for where, part in regions)
    return f"{said} Difference in Lab, which papers call RMSE: {shown}."


def _pair(means: Mapping[str, float], name: str) -> str:
    """Write a mean, and the input's in brackets."""
    mine, before = (means.get(key, math.nan) for key in (name, f"input_{name}"))
    return f"{_number(mine, '.2f')} ({_number(before, '.2f')})"


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return everything that the scores depend on."""
    setting = evaluation.setting
    megapixels = sum(image.width * image.height for image in evaluation.images) / 1e6
    seconds = math.fsum(image.seconds for image in evaluation.images)
    return [
        ("checkpoint", f"{setting.checkpoint} (sha256 {setting.sha256})"),
        ("tiling", setting.tiling + (", x4 ensemble" if setting.ensemble else "")),
        ("device", f"{setting.device}, {setting.dtype}"),
        ("version", f"drcnet {setting.version}, torch {setting.torch}"),
        ("speed", f"{megapixels:.1f} megapixels in {seconds:.1f} s of restoring"),
        ("pictures from", evaluation.layout),
    ]


def to_csv(evaluations: Iterable[Evaluation]) -> str:
    """Write one line a picture."""
    text = io.StringIO()
    names = [field.name for field in fields(ImageScore) if field.name != "regions"]
    evaluations = list(evaluations)
    images = [image for evaluation in evaluations for image in evaluation.images]
    more = list(dict.fromkeys(name for image in images for name in image.regions))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "checkpoint", *names, *more])
    for evaluation in evaluations:
        key = evaluation.benchmark or evaluation.title
        for image in evaluation.images:
            values = [getattr(image, name) for name in names]
            values += [image.regions.get(name) for name in more]
            writer.writerow([key, evaluation.setting.checkpoint, *values])
    return text.getvalue()


def to_record(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation and the published results beside it in JSON types."""
    published = [
        {"method": score.method, "year": score.year, "psnr": score.psnr, "ssim": score.ssim}
        for score in published_for(evaluation.benchmark)
    ]
    return {**evaluation.record(), "published": published if evaluation.complete else []}


def overview(evaluations: Sequence[Evaluation]) -> list[tuple[str, ...]]:
    """Write a row for each data set and checkpoint, the paper's own result at the end."""
    return [
        (
            evaluation.title,
            evaluation.setting.checkpoint,
            _count(evaluation),
            _number(evaluation.mean("input_psnr"), ".2f"),
            _number(evaluation.mean("psnr"), ".2f"),
            _number(evaluation.mean("psnr") - evaluation.mean("input_psnr"), "+.2f"),
            _number(evaluation.mean("ssim"), ".4f"),
            _paper(evaluation),
        )
        for evaluation in evaluations
    ]


OVERVIEW = ("data set", "checkpoint", "pictures", "input PSNR", "PSNR", "gain", "SSIM", "paper")


def _count(evaluation: Evaluation) -> str:
    count, failed = len(evaluation.images), len(evaluation.failed)
    return f"{count} of {count + failed}" if failed else str(count)


def _paper(evaluation: Evaluation) -> str:
    score = paper_score(evaluation.benchmark)
    if score is None or not evaluation.complete:
        return NO_VALUE
    return f"{_number(score.psnr, '.2f')} / {_number(score.ssim, '.3f')}"


def to_markdown(evaluations: Sequence[Evaluation], command: str) -> str:
    """Write a table of all data sets, then each one beside the published results."""
    parts = [_TITLE, overview_markdown(evaluations, command)]
    for evaluation in evaluations:
        lines = [_markdown(score_table(evaluation, heading(evaluation))), ""]
        said = [*failures(evaluation), *further_scores(evaluation), *remarks(evaluation)]
        lines += [f"{sentence}\n" for sentence in said]
        lines += [f"- {name}: {value}" for name, value in facts(evaluation)]
        parts.append("\n".join(lines))
    parts += map(_markdown, average_tables(evaluations))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def overview_markdown(evaluations: Sequence[Evaluation], command: str) -> str:
    """Write the table of all data sets, and the command that made it."""
    _, _, lines = _markdown(overview_table(evaluations)).partition("\n\n")
    return f"{lines}\n\n{_MADE_BY}{command}`.\n"


def _markdown(table: Table) -> str:
    """Write a heading and a table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + "---|" * len(table.header)
    return "\n".join((f"## {table.title}", "", line(table.header), rule, *map(line, table.rows)))


def check_marked(path: Path) -> None:
    """Raise UsageError for a file that `write_marked` cannot read, or would replace unasked.

    What `to_markdown` wrote before, and an empty file, are there to be replaced.
    """
    check_named(path, "a Markdown file", ".md", ".markdown")
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text in UTF-8.", "Name a new file") from error
    is_own = text.startswith(_TITLE) and _MADE_BY in text
    if text.strip() and not is_own and _around_marks(text) is None:
        raise UsageError(
            f"{path} is a page of something else, which scores would replace as a whole.",
            f"Name a new file, or put the marks in, which the table goes between: {BEGIN} {END}",
        )


def write_marked(path: Path, part: str, page: str) -> None:
    """Write `part` between the marks in the file; where it has none, `page` as the whole file.

    Raises OSError naming the file.
    """
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    around = _around_marks(before)
    whole = f"\n{part}".join(around) if around else page
    with atomic_write(path) as temporary:
        temporary.write_text(whole, encoding="utf-8")


def _around_marks(text: str) -> tuple[str, str] | None:
    """Return the text up to where the table goes, and from there on; None without the marks."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    return (head + begin, end + tail) if begin and end else None


def _number(value: float | None, form: str, unit: str = "") -> str:
    if value is None or math.isnan(value):
        return NO_VALUE
    return f"{value:{form}}{unit}"
