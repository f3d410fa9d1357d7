"""Pictures against pictures: matched by name, and scored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from drcnet_cli.datasets.pairs import match_names
from drcnet_cli.errors import DrcnetError, ImageError, UsageError
from drcnet_cli.imageio.folder import Pixels, name_pictures, read_rgb8
from drcnet_cli.imageio.transparency import Colour
from drcnet_cli.metrics import EQUAL_PSNR, psnr, ssim
from drcnet_cli.progress import Mapper, Progress, no_progress

_SSIM_WINDOW = 11
_NAMED = 5  # unmatched names that a sentence lists


@dataclass(frozen=True)
class Entry:
    """Files that show the same: A, B, and if there is one the target; `name` is A's."""

    name: str
    first: Path
    second: Path
    target: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the two or three files."""
        return (self.first, self.second, *((self.target,) if self.target else ()))


@dataclass(frozen=True)
class Matches:
    """What can be compared, and by label the names of pictures that have no partner."""

    entries: tuple[Entry, ...]
    unmatched: dict[str, tuple[str, ...]]

    def notes(self) -> list[str]:
        """Count and name what is left out, a sentence for each side."""
        return [
            f"{len(names)} in {label} without a partner, left out: {', '.join(names[:_NAMED])}"
            + (f" and {len(names) - _NAMED} more." if len(names) > _NAMED else ".")
            for label, names in self.unmatched.items()
            if names
        ]


@dataclass(frozen=True)
class Quality:
    """PSNR in dB (infinity for equal pictures), SSIM (None where its window does not fit)."""

    psnr: float
    ssim: float | None

    def record(self) -> dict[str, float | None]:
        """Return it in JSON types; equal pictures, whose PSNR JSON cannot hold, have null there."""
        return {"psnr": self.psnr if math.isfinite(self.psnr) else None, "ssim": self.ssim}

    def cells(self) -> list[str]:
        """Write both as texts of a table."""
        shown = "\N{EN DASH}" if self.ssim is None else f"{self.ssim:.4f}"
        return [f"{self.psnr:.2f}", shown]


@dataclass(frozen=True)
class Score:
    """One entry's scores: of A and of B against the target, or without one of A against B alone."""

    entry: Entry
    height: int
    width: int
    qualities: tuple[Quality, ...]

    @property
    def gain(self) -> float | None:
        """Tell by how many dB B lies above A; None without a target."""
        return gain(self.qualities) if len(self.qualities) > 1 else None


def gain(qualities: Sequence[Quality]) -> float:
    """Tell by how many dB the second lies above the first, 0 where both are perfect."""
    first, second = (quality.psnr for quality in qualities)
    return 0.0 if first == second else second - first


def match_entries(first: Path, second: Path, target: Path | None, labels: Sequence[str]) -> Matches:
    """Match two or three files, or the pictures below as many folders by name.

    Names match as those of training pairs do. Raises UsageError for paths that are missing, of
    two kinds, or have nothing in common.
    """
    paths = [path for path in (first, second, target) if path is not None]
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no file or folder {path}.", "Check the path.")
    folders = [path.is_dir() for path in paths]
    if not any(folders):
        return Matches((Entry(first.name, first, second, target),), {})
    if not all(folders):
        file = paths[folders.index(False)]
        raise UsageError(
            f"{file} is a file, and {paths[folders.index(True)]} a folder.",
            "Give files only, or folders only.",
        )
    return _match_folders(paths, labels)


def _match_folders(folders: Sequence[Path], labels: Sequence[str]) -> Matches:
    """Match the pictures of A's folder with those of each other one."""
    first, *others = map(name_pictures, folders)
    partners: list[dict[str, Path]] = []
    alone: dict[str, tuple[str, ...]] = {}
    for label, folder, names in zip(labels[1:], folders[1:], others, strict=True):
        matching = match_names(first, names)
        partners.append({pair.name: pair.clean for pair in matching.pairs})
        alone[label] = matching.unmatched_clean
        if not matching.pairs:
            raise UsageError(
                f"No picture in {folders[0]} has a partner of the same name in {folder}.",
                "Pictures of one scene must be named alike, such as a/001.png and b/001.png",
            )
    common = [name for name in first if all(name in found for found in partners)]
    if not common:
        raise UsageError(
            f"No picture in {folders[0]} has a partner in each of the other folders.",
            "Pictures of one scene must be named alike in all of them",
        )
    entries = (Entry(name, first[name], *(found[name] for found in partners)) for name in common)
    left = tuple(name for name in first if name not in set(common))
    return Matches(tuple(entries), {labels[0]: left, **alone})


def choose_labels(paths: Sequence[Path]) -> tuple[str, ...]:
    """Name paths by their last parts, as many as tell them apart; A, B and Target if none do."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        labels = tuple("/".join(tail[-count:]) for tail in parts)
        if len(set(labels)) == len(labels):
            return labels
    return ("A", "B", "Target")[: len(paths)]


def score_entry(entry: Entry, background: Colour | None = None) -> Score:
    """Read and score one entry; raises ImageError naming the files that cannot be compared.

    Transparency is laid on `background`, and left out where that is None.
    """
    try:
        pictures = [read_rgb8(path, background) for path in entry.files]
        _check_sizes(entry, pictures)
        height, width = pictures[0].shape[:2]
        *compared, reference = pictures
        fits = min(height, width) >= _SSIM_WINDOW
        qualities = tuple(
            Quality(psnr(pixels, reference), ssim(pixels, reference) if fits else None)
            for pixels in compared
        )
    except MemoryError as error:
        raise ImageError(f"{entry.first} is too large for this machine's memory.") from error
    return Score(entry, height, width, qualities)


def _check_sizes(entry: Entry, pictures: Sequence[Pixels]) -> None:
    sizes = [f"{pixels.shape[1]} \N{MULTIPLICATION SIGN} {pixels.shape[0]}" for pixels in pictures]
    for path, size in zip(entry.files, sizes, strict=True):
        if size != sizes[0]:
            raise ImageError(
                f"{path} has {size} pixels, but {entry.first} has {sizes[0]}.",
                "Only pictures of one size can be compared: scale or crop them alike.",
            )


def score_entries(
    entries: Sequence[Entry],
    progress: Progress = no_progress,
    *,
    background: Colour | None = None,
    run: Mapper = map,
) -> tuple[list[Score], list[DrcnetError]]:
    """Score every entry; what cannot be scored stops nothing and comes beside the scores.

    `background`: as `score_entry` takes it. `run` calls what scores one, here or in other
    processes.
    """
    scores: list[Score] = []
    failed: list[DrcnetError] = []
    for done, outcome in enumerate(run(partial(_score_or_error, background), entries), 1):
        if isinstance(outcome, Score):
            scores.append(outcome)
        else:
            failed.append(outcome)
        progress(done, len(entries))
    return scores, failed


def _score_or_error(background: Colour | None, entry: Entry) -> Score | DrcnetError:
    try:
        return score_entry(entry, background)
    except DrcnetError as error:
        return error


def mean_qualities(scores: Sequence[Score]) -> list[Quality]:
    """Average the scores as published: over pictures, in dB, equal pictures counting as 100 dB."""
    columns = zip(*(score.qualities for score in scores), strict=True)
    return [
        Quality(
            math.fsum(min(quality.psnr, EQUAL_PSNR) for quality in column) / len(column),
            _mean([quality.ssim for quality in column if quality.ssim is not None]),
        )
        for column in columns
    ]


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def record(
    scores: Sequence[Score],
    labels: Sequence[str],
    matches: Matches,
    failed: Sequence[DrcnetError],
) -> dict[str, Any]:
    """Return all of it in JSON types; scores by label, each against the last label's pictures."""

    def named(qualities: Sequence[Quality]) -> dict[str, dict[str, float | None]]:
        return {label: quality.record() for label, quality in zip(labels, qualities, strict=False)}

    return {
        "labels": list(labels),
        "against": labels[-1],
        "images": [
            {
                "name": score.entry.name,
                "width": score.width,
                "height": score.height,
                "files": [str(path) for path in score.entry.files],
                "scores": named(score.qualities),
            }
            for score in scores
        ],
        "means": named(mean_qualities(scores)),
        "unmatched": {label: list(found) for label, found in matches.unmatched.items()},
        "failed": [error.message for error in failed],
    }
