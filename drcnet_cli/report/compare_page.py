"""The page of `drcnet compare`: the pictures under sliders, their scores and gains."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from drcnet_cli.errors import DrcnetError
from drcnet_cli.evaluation.compare import Quality, Score, gain, mean_qualities
from drcnet_cli.report.blocks import Block, Comparison, Facts, Histogram, Table
from drcnet_cli.report.markup import number
from drcnet_cli.report.pictures import read_for_display
from drcnet_cli.version import __version__

METRICS = "PSNR of RGB, SSIM of RGB (valid), both of 8 bits"

Item = TypeVar("Item")


def choose_evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Take `count` items, the first and the last among them, the others evenly between."""
    if count >= len(items):
        return list(items)
    if count < 2:
        return list(items[:count])
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]


def score_table(scores: Sequence[Score], labels: Sequence[str]) -> Table:
    """Give a row for each picture, and one for the mean; B's gain over A if there is a target."""
    scored = labels[: len(scores[0].qualities)]
    header = ["Picture", *(f"{name} {metric}" for name in scored for metric in ("PSNR", "SSIM"))]
    rows = [_row(score.entry.name, score.qualities) for score in scores]
    if len(scores) > 1:
        rows.append(_row(f"Mean of {len(scores)}", mean_qualities(scores)))
    if len(scored) > 1:
        header.append("Gain")
    caption = f"{METRICS}, against {labels[-1]}."
    return Table("Scores", header, rows, caption, range(len(scores), len(rows)))


def _row(name: str, qualities: Sequence[Quality]) -> list[str]:
    cells = [cell for quality in qualities for cell in quality.cells()]
    if len(qualities) > 1:
        cells.append(number(gain(qualities)))
    return [name, *cells]


def comparison(score: Score, labels: Sequence[str]) -> Comparison:
    """Read an entry's pictures once more, now as they are to be seen; raises ImageError."""
    first, second, *target = (read_for_display(path) for path in score.entry.files)
    named = labels[:2] if target else [f"{labels[0]} against {labels[1]}"]
    return Comparison(
        score.entry.name,
        "",
        first,
        second,
        target[0] if target else None,
        tuple(labels),
        {name: _describe(quality) for name, quality in zip(named, score.qualities, strict=True)},
    )


def _describe(quality: Quality) -> str:
    if math.isinf(quality.psnr):
        return "no difference"
    similarity = "" if quality.ssim is None else f", SSIM {quality.ssim:.4f}"
    return f"{quality.psnr:.2f} dB{similarity}"


def page_subtitle(
    scores: Sequence[Score], labels: Sequence[str], left_out: bool, shown: int
) -> str:
    """Say what the page shows of how much."""
    count = len(scores)
    pictures = "1 picture" if count == 1 else f"{count} pictures"
    against = f", scored against {labels[2]}" if len(labels) > 2 else ""
    chosen = f"; {shown} of them, evenly chosen, under sliders" if shown < count else ""
    others = "; what was left out is listed below" if left_out else ""
    return f"{pictures}{against}{chosen}{others}."


def page_blocks(
    scores: Sequence[Score],
    labels: Sequence[str],
    paths: Sequence[Path],
    left_out: Sequence[str],
    *,
    shown: int,
) -> Iterator[Block]:
    """Give a page's blocks, `shown` pictures among them, each read when its turn comes.

    `left_out` says in a sentence each what was; pictures that can no longer be read join it.
    """
    reasons = list(left_out)
    for score in choose_evenly(scores, shown):
        try:
            yield comparison(score, labels)
        except (DrcnetError, ValueError) as error:  # changed since it was scored
            reasons.append(str(error))
        except MemoryError:
            reasons.append(f"{score.entry.name} is too large for this machine's memory.")
    yield score_table(scores, labels)
    gains = [score.gain for score in scores if score.gain is not None]
    if len(gains) > 1:
        title = f"Gain of {labels[1]} over {labels[0]}"
        yield Histogram(title, gains, "dB", f"PSNR against {labels[2]}.")
    if reasons:
        yield Table("Left out", ["Reason"], [[reason] for reason in reasons])
    named = [(label, str(path)) for label, path in zip(labels, paths, strict=True)]
    yield Facts("What was compared", [*named, ("Scores", METRICS), ("drcnet", __version__)])
