"""Pairs on disk: each picture of a folder, degraded (lq/NAME.png) and clean (gt/NAME.png).

What damages some pixels alone has their mask beside them (mask/NAME.png).
"""

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from drcnet_cli.degrade import Degraded, Streaks, degrade
from drcnet_cli.degrade.base import Array
from drcnet_cli.errors import ImageError, StorageError, UsageError
from drcnet_cli.files.finished import Finished
from drcnet_cli.files.finisher import open_finisher, recipe
from drcnet_cli.files.plan import Job, Plan, Rename, plan_files
from drcnet_cli.imageio import is_image_name
from drcnet_cli.imageio.folder import find_pictures, read_rgb8, write_png
from drcnet_cli.imageio.pixels import to_uint8, to_unit
from drcnet_cli.imageio.transparency import Colour
from drcnet_cli.progress import Mapper, Progress, no_progress


@dataclass(frozen=True)
class MadePairs:
    """What was done: pairs written, pairs that were there already, pictures that failed.

    `stale` of those that were there are older than their picture, or were made otherwise.
    """

    written: int
    skipped: int
    failed: tuple[ImageError, ...]
    stale: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairPlan:
    """How pairs are made: all that decides on them, and how they are named.

    `streaks`: rendered rain layers to draw from, too. `background`: what transparency is laid on.
    `rename` makes a pair's name of the picture's stem and `.png`. `keep_dates`: pairs get their
    picture's date. `overwrite` redoes all that are there, `update` those that are stale.
    """

    kind: str
    seed: int
    streaks: Streaks = ()
    background: Colour | None = None
    rename: Rename | None = None
    keep_dates: bool = False
    overwrite: bool = False
    update: bool = False

    def recipe(self) -> str:
        """Return what the journal of runs keeps of how pairs are made."""
        layers = [hashlib.sha256(layer.tobytes()).hexdigest() for layer in self.streaks]
        colour = self.background
        return recipe(pairs=self.kind, seed=self.seed, streaks=layers, background=colour)


def rng_for(seed: int, name: str) -> np.random.Generator:
    """Return the random numbers of one picture, by its name below the input folder (POSIX style).

    They depend neither on the order nor on the number of the pictures.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng((seed, int.from_bytes(digest[:8], "little")))


def make_pairs(
    source: Path,
    destination: Path,
    plan: PairPlan,
    *,
    run: Mapper = map,
    progress: Progress = no_progress,
) -> MadePairs:
    """Degrade all pictures below `source`, one kind, into `destination`'s lq and gt, tree mirrored.

    Where the kind tells which pixels it damages, `mask` gets that, white on black. Pairs that exist
    are kept, so an interrupted run goes on. Damaged pictures are left out and reported; a full disk
    ends the run, as the last of `failed`. 8 bits, RGB. `run` calls what makes a pair, here or in
    other processes. Raises UsageError before any work starts.
    """
    there = _plan(source, destination, plan)
    total = len(there.jobs) + len(there.finished)
    if not total:
        raise UsageError(f"There are no pictures in {source}.", "Name a folder of photographs.")
    make = partial(_make_pair, source, destination, plan, plan.recipe())
    written, failed, notes = 0, [], []
    progress(len(there.finished), total)
    for done, outcome in enumerate(run(make, there.jobs), 1 + len(there.finished)):
        progress(done, total)
        if isinstance(outcome, ImageError):
            failed.append(outcome)
            if isinstance(outcome, StorageError):
                break
        else:
            written, notes = written + 1, [*notes, *outcome]
    return MadePairs(written, len(there.finished), tuple(failed), len(there.stale), tuple(notes))


def _plan(source: Path, destination: Path, plan: PairPlan) -> Plan:
    """Plan the degraded pictures' files; raises UsageError for an impossible call."""
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
    if plan.rename and not plan.rename("name", ".png").lower().endswith(".png"):
        raise UsageError("Pairs are PNG files, and --name ends otherwise.", "End it with {ext}")
    with Finished(plan.recipe, update=plan.update) as finished:

        def judge(job: Job) -> str | None:
            assert isinstance(job.destination, Path)
            there = _beside(job.destination, destination, "gt").exists()
            return finished(job) if there else None

        return plan_files(
            [source],
            destination / "lq",
            is_image=is_image_name,
            overwrite=plan.overwrite,
            suffix=".png",
            rename=plan.rename,
            judge=judge,
        )


def _beside(lq: Path, destination: Path, part: str) -> Path:
    return destination / part / lq.relative_to(destination / "lq")


def _make_pair(
    source: Path, destination: Path, plan: PairPlan, recipe: str, job: Job
) -> list[str] | ImageError:
    """Make one pair; return what is to be said of it, or why there is none.

    The degraded picture is written last: with it a pair is whole.
    """
    assert isinstance(job.source, Path) and isinstance(job.destination, Path)
    rng = rng_for(plan.seed, job.source.relative_to(source).as_posix())
    try:
        with open_finisher(recipe, plan.keep_dates) as finisher:
            finisher.begin(job)
            pixels = read_rgb8(job.source, plan.background)
            pair = _degraded(pixels, plan.kind, rng, plan.streaks)
            beside = {"gt": pair.clean}
            if pair.mask is not None:
                beside["mask"] = pair.mask.repeat(3, 0)
            for part, picture in beside.items():
                place = _beside(job.destination, destination, part)
                other = replace(job, destination=place)
                finisher.begin(other)
                write_png(place, _stored(picture), partial(finisher.finish, other))
            notes: list[str] = []
            write_png(
                job.destination,
                _stored(pair.degraded),
                lambda whole: notes.extend(finisher.finish(job, whole)),
            )
    except ImageError as error:
        return error
    except MemoryError:
        return ImageError(f"{job.source} is too large for this machine's memory.")
    return [f"{job.destination}: {text}" for text in notes]


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
