"""The page of an evaluation: scores, gains, and the pictures that gained most and least."""

from collections.abc import Iterator, Sequence

from drcnet_cli.evaluation.results import Evaluation, ImageScore
from drcnet_cli.evaluation.score import restored_as_scored, to_bytes
from drcnet_cli.evaluation.session import Evaluator, Measurement
from drcnet_cli.report.blocks import Block, Comparison, Facts, Histogram, Section, Table
from drcnet_cli.report.tables import (
    HEADER,
    HEADER_NOTE,
    OVERVIEW,
    average_rows,
    facts,
    heading,
    overview,
    remarks,
    rows,
)


def evaluation_blocks(
    measured: Sequence[tuple[Measurement, Evaluation]], evaluator: Evaluator
) -> Iterator[Block]:
    """Give the page's blocks; the three pictures of each data set are restored once more for it."""
    if len(measured) > 1:
        evaluations = [evaluation for _, evaluation in measured]
        yield Table("All data sets", OVERVIEW, overview(evaluations))
        for title, averaged in average_rows(evaluations):
            cells = [row.cells() for row in averaged]
            yield Table(title, HEADER, cells, HEADER_NOTE, highlighted=[len(cells) - 1])
    for plan, evaluation in measured:
        yield Section(heading(evaluation), " ".join(remarks(evaluation)))
        shown = rows(evaluation)
        ours = [index for index, row in enumerate(shown) if row.ours]
        cells = [row.cells() for row in shown]
        yield Table("Scores", HEADER, cells, HEADER_NOTE, highlighted=ours)
        gains = [image.gain for image in evaluation.images]
        yield Histogram("Gain of each picture", gains, "dB", "PSNR over the input's.")
        yield from _pictures(plan, evaluation, evaluator)
        yield Facts("How it was measured", facts(evaluation))


def _pictures(plan: Measurement, evaluation: Evaluation, evaluator: Evaluator) -> Iterator[Block]:
    restorer = evaluator.restorer(plan.checkpoint, plan.task)
    cases = {case.name: case for case in plan.suite.cases}
    for place, image in _chosen(evaluation):
        degraded, target = cases[image.name].load()
        restored = to_bytes(restored_as_scored(degraded, restorer, plan.protocol))
        scores = {
            "PSNR": f"{image.psnr:.2f} dB (input {image.input_psnr:.2f}, {image.gain:+.2f})",
            "SSIM": f"{image.ssim:.4f} (input {image.input_ssim:.4f})",
        }
        title = f"{place} gain: {image.name}"
        yield Comparison(title, "", to_bytes(degraded), restored, target, scores=scores)


def _chosen(evaluation: Evaluation) -> list[tuple[str, ImageScore]]:
    """Give the best, median and worst picture, each once."""
    ranked = evaluation.ranked()
    if not ranked:
        return []
    places = {"Largest": 0, "Smallest": len(ranked) - 1, "Median": len(ranked) // 2}
    by_index = {index: place for place, index in reversed(places.items())}
    return [(by_index[index], ranked[index]) for index in sorted(by_index)]
