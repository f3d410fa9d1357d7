"""Pairs on disk: each picture of a folder, degraded (lq/NAME.png) and clean (gt/NAME.png).

What damages some pixels alone has their mask beside them (mask/NAME.png).
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drcnet_cli.degrade import Degraded, Streaks, degrade
from drcnet_cli.degrade.base import Array
from drcnet_cli.errors import ImageError, StorageError, UsageError
from drcnet_cli.imageio.folder import find_pictures, read_rgb8, write_png
from drcnet_cli.imageio.pixels import to_uint8, to_unit
from drcnet_cli.progress import Progress, no_progress


@dataclass(frozen=True)
class MadePairs:
    """What was done: pairs written, pairs that were there already, pictures that failed."""

    written: int
    skipped: int
    failed: tuple[ImageError, ...]


def rng_for(seed: int, name: str) -> np.random.Generator:
    """Return the random numbers of one picture, by its name below the input folder (POSIX style).

    They depend neither on the order nor on the number of the pictures.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng((seed, int.from_bytes(digest[:8], "little")))


def make_pairs(
    source: Path,
    destination: Path,
    kind: str,
    *,
    seed: int,
    streaks: Streaks = (),
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> MadePairs:
    """Degrade all pictures below `source`, one kind, into `destination`'s lq and gt, tree mirrored.

    Where the kind tells which pixels it damages, `mask` gets that, white on black. Pairs that exist
    are kept unless `overwrite`, so an interrupted run goes on. Damaged pictures are left out and
    reported; a full disk ends the run, as the last of `failed`. 8 bits, RGB. Raises UsageError
    before any work starts.
    """
    places = _places(source, destination)
    written, skipped, failed = 0, 0, []
    for done, (path, place) in enumerate(places.items(), 1):
        lq, gt = destination / "lq" / place, destination / "gt" / place
        if lq.exists() and gt.exists() and not overwrite:
            skipped += 1
        else:
            rng = rng_for(seed, path.relative_to(source).as_posix())
            try:
                pair = _degraded(read_rgb8(path), kind, rng, streaks)
                write_png(lq, _stored(pair.degraded))
                write_png(gt, _stored(pair.clean))
                if pair.mask is not None:
                    write_png(destination / "mask" / place, _stored(pair.mask.repeat(3, 0)))
                written += 1
            except ImageError as error:
                failed.append(error)
                if isinstance(error, StorageError):
                    break
        progress(done, len(places))
    return MadePairs(written, skipped, tuple(failed))


def _places(source: Path, destination: Path) -> dict[Path, Path]:
    """Return each picture's place below lq and gt; raises UsageError for an impossible call."""
    if not source.is_dir():
        raise UsageError(
            f"There is no folder {source}.", "drcnet degrade --task rain IN_DIR OUT_DIR"
        )
    if destination.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            f"{destination} lies within {source}: its pictures would be degraded again.",
            "Give a folder elsewhere.",
        )
    if destination.exists() and not destination.is_dir():
        raise UsageError(f"{destination} is a file.", "Name a folder; it is created if missing.")
    places = {path: path.relative_to(source).with_suffix(".png") for path in find_pictures(source)}
    if not places:
        raise UsageError(f"There are no pictures in {source}.", "Name a folder of photographs.")
    # Compared without case: some file systems would write one over the other.
    counts = Counter(str(place).casefold() for place in places.values())
    for path, place in places.items():
        if counts[str(place).casefold()] > 1:
            raise UsageError(
                f"{path} and another picture would both be written to {place}.", "Rename one."
            )
    return places


def degrade_pixels(
    pixels: Array, kind: str, rng: np.random.Generator, streaks: Streaks = ()
) -> tuple[Array, Array]:
    """Degrade one picture; return the degraded and the clean one as they are saved.

    H x W x 3 uint8 all three; what is clean may differ from `pixels`, as where noise is removed.
    """
    pair = _degraded(pixels, kind, rng, streaks)
    return _stored(pair.degraded), _stored(pair.clean)


def _degraded(pixels: Array, kind: str, rng: np.random.Generator, streaks: Streaks) -> Degraded:
    return degrade(np.ascontiguousarray(to_unit(pixels).transpose(2, 0, 1)), kind, rng, streaks)


def _stored(image: Array) -> Array:
    return to_uint8(image).transpose(1, 2, 0)


def load_streaks(folder: Path | None) -> list[Array]:
    """Read all rendered rain layers below a folder: H x W, uint8; raises UsageError if none."""
    if folder is None:
        return []
    paths = find_pictures(folder)
    if not paths:
        raise UsageError(f"No rendered rain layers in {folder}.", "Leave --streaks out")
    return [np.ascontiguousarray(read_rgb8(path)[..., 0]) for path in paths]
