"""The pages of `drcnet eval` and `drcnet compare`: scores, gains, and pictures under sliders."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drcnet_cli.evaluation import tables
from drcnet_cli.evaluation.compare import Quality, Score, gain, mean_qualities
from drcnet_cli.evaluation.results import Evaluation, ImageScore
from drcnet_cli.imageio.pixels import to_uint8
from drcnet_cli.imageio.transparency import Colour
from drcnet_cli.report.blocks import Block, Comparison, Facts, Histogram, Section, Table
from drcnet_cli.report.html import write_page
from drcnet_cli.report.markup import number
from drcnet_cli.report.pages import Scene, choose_evenly, read_scenes
from drcnet_cli.version import __version__

if TYPE_CHECKING:  # loads torch, which pages of compared files do without
    from drcnet_cli.evaluation.session import Evaluator, Measurement

METRICS = "PSNR of RGB, SSIM of RGB (valid), both of 8 bits"


def evaluation_blocks(
    measured: "Sequence[tuple[Measurement, Evaluation]]", evaluator: "Evaluator"
) -> Iterator[Block]:
    """Draw the page's blocks; three pictures of each data set are restored once more for it."""
    if len(measured) > 1:
        evaluations = [evaluation for _, evaluation in measured]
        yield tables.overview_table(evaluations)
        yield from tables.average_tables(evaluations)
    for plan, evaluation in measured:
        said = [
            *tables.failures(evaluation),
            *tables.further_scores(evaluation),
            *tables.remarks(evaluation),
        ]
        yield Section(tables.heading(evaluation), " ".join(said))
        yield tables.score_table(evaluation, "Scores")
        gains = [image.gain for image in evaluation.images]
        yield Histogram("Gain of each picture", gains, "dB", "PSNR over the input's.")
        for place, image in _chosen(evaluation):
            yield _restored_once_more(plan, image, f"{place} gain: {image.name}", evaluator)
        yield Facts("How it was measured", tables.facts(evaluation))


def _restored_once_more(
    plan: "Measurement", image: ImageScore, title: str, evaluator: "Evaluator"
) -> Comparison:
    case = next(case for case in plan.suite.cases if case.name == image.name)
    degraded, target = case.load()
    restored = evaluator.restore(plan, degraded)
    scores = {
        "PSNR": f"{image.psnr:.2f} dB (input {image.input_psnr:.2f}, {image.gain:+.2f})",
        "SSIM": f"{image.ssim:.4f} (input {image.input_ssim:.4f})",
    }
    return Comparison(title, "", to_uint8(degraded), to_uint8(restored), target, scores=scores)


def _chosen(evaluation: Evaluation) -> list[tuple[str, ImageScore]]:
    """Return the best, median and worst picture, each once."""
    ranked = evaluation.ranked()
    if not ranked:
        return []
    places = {"Largest": 0, "Smallest": len(ranked) - 1, "Median": len(ranked) // 2}
    by_index = {index: place for place, index in reversed(places.items())}
    return [(by_index[index], ranked[index]) for index in sorted(by_index)]


def compared_table(scores: Sequence[Score], labels: Sequence[str]) -> Table:
    """Write a row for each picture, and one for the mean; B's gain over A if there is a target."""
    scored = labels[: len(scores[0].qualities)]
    header = ["Picture", *(f"{name} {metric}" for name in scored for metric in ("PSNR", "SSIM"))]
    rows = [_row(score.entry.name, score.qualities) for score in scores]
    if len(scores) > 1:
        rows.append(_row(f"Mean of {len(scores)}", mean_qualities(scores)))
    if len(scored) > 1:
        header.append("Gain")
    caption = f"{METRICS}, against {labels[-1]}."
    if len(scores) > 1 and any(math.isinf(q.psnr) for score in scores for q in score.qualities):
        caption += " Equal pictures (inf) count as 100 dB in the mean."
    return Table("Scores", header, rows, caption, range(len(scores), len(rows)))


def _row(name: str, qualities: Sequence[Quality]) -> list[str]:
    cells = [cell for quality in qualities for cell in quality.cells()]
    if len(qualities) > 1:
        cells.append(number(gain(qualities)))
    return [name, *cells]


def _scene(score: Score, labels: Sequence[str], background: Colour | None) -> Scene:
    named = labels[:2] if score.entry.target else [f"{labels[0]} against {labels[1]}"]
    scores = zip(named, map(_describe, score.qualities), strict=True)
    return Scene(
        score.entry.name,
        score.entry.files,
        tuple(labels),
        scores=dict(scores),
        background=background,
    )


def _describe(quality: Quality) -> str:
    if math.isinf(quality.psnr):
        return "no difference"
    similarity = "" if quality.ssim is None else f", SSIM {quality.ssim:.4f}"
    return f"{quality.psnr:.2f} dB{similarity}"


def compared_subtitle(
    scores: Sequence[Score], labels: Sequence[str], left_out: bool, shown: int
) -> str:
    """Say what the page shows of how much."""
    count = len(scores)
    pictures = "1 picture" if count == 1 else f"{count} pictures"
    against = f", scored against {labels[2]}" if len(labels) > 2 else ""
    chosen = f"; {shown} of them, evenly chosen, under sliders" if shown < count else ""
    others = "; what was left out is listed below" if left_out else ""
    return f"{pictures}{against}{chosen}{others}."


def write_compared(
    path: Path,
    scores: Sequence[Score],
    labels: Sequence[str],
    paths: Sequence[Path],
    left_out: Sequence[str],
    *,
    shown: int,
    background: Colour | None = None,
) -> None:
    """Write the page of `compared_blocks`; raises ReportError if it cannot be written."""
    blocks = compared_blocks(scores, labels, paths, left_out, shown=shown, background=background)
    subtitle = compared_subtitle(scores, labels, bool(left_out), shown)
    write_page(path, f"{labels[0]} and {labels[1]}", blocks, subtitle=subtitle)


def compared_blocks(
    scores: Sequence[Score],
    labels: Sequence[str],
    paths: Sequence[Path],
    left_out: Sequence[str],
    *,
    shown: int,
    background: Colour | None = None,
) -> Iterator[Block]:
    """Draw a page's blocks, `shown` pictures among them, each read when its turn comes.

    `left_out` says in a sentence each what was; pictures that can no longer be read join it.
    Transparency is laid on `background`.
    """
    unread: list[tuple[Scene, str]] = []
    chosen = choose_evenly(scores, shown)
    yield from read_scenes((_scene(score, labels, background) for score in chosen), unread)
    yield compared_table(scores, labels)
    gains = [score.gain for score in scores if score.gain is not None]
    if len(gains) > 1:
        title = f"Gain of {labels[1]} over {labels[0]}"
        yield Histogram(title, gains, "dB", f"PSNR against {labels[2]}.")
    if reasons := [*left_out, *(reason for _, reason in unread)]:
        yield Table("Left out", ["Reason"], [[reason] for reason in reasons])
    named = [(label, str(path)) for label, path in zip(labels, paths, strict=True)]
    yield Facts("What was compared", [*named, ("Scores", METRICS), ("drcnet", __version__)])
