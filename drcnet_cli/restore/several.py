"""Restore the pictures of one file: one is read, one computed and one written at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from drcnet_cli.errors import DrcnetError, ImageError
from drcnet_cli.files.addresses import Place
from drcnet_cli.files.atomic import refusal
from drcnet_cli.imageio import Picture, Several, writing_several
from drcnet_cli.restore.outcome import Outcome, WriteOptions

# Returns what became of one picture, and the result unless it failed.
RestoreOne: TypeAlias = Callable[[Picture], tuple[Outcome, Picture | None]]
Finish: TypeAlias = Callable[[Path], list[str]]
_SAID = 8  # remarks on single pictures; of thousands nobody reads more


def restore_several(
    begun: Outcome,
    several: Several,
    target: Place | BinaryIO,
    options: WriteOptions,
    restore_one: RestoreOne,
    finish: Finish | None = None,
) -> Outcome:
    """Restore all pictures into one file and return the outcome; the file of origin is closed.

    `begun`: the job's outcome without a result. `finish` gets the whole result before it takes its
    name, and returns what is to be said of it. One picture that cannot be read, restored or
    written fails the file: nothing of it is written.
    """
    job = begun.job
    try:
        with closing(several):
            if job.mask or job.mask_out:
                raise ImageError(
                    f"{job.source} has {len(several)} {several.noun}s, and masks are for one "
                    "picture.",
                    "Leave out --mask and --mask-out, or take one by --pages",
                )
            return _restore_all(begun, several, target, options, restore_one, finish)
    except DrcnetError as error:
        return replace(begun, error=error)
    except MemoryError:
        message = f"{job.source} is too large for this machine's memory."
        return replace(begun, error=ImageError(message))
    except OSError as error:
        return replace(begun, error=refusal(job.destination, error))


def _restore_all(
    begun: Outcome,
    several: Several,
    target: Place | BinaryIO,
    options: WriteOptions,
    restore_one: RestoreOne,
    finish: Finish | None,
) -> Outcome:
    outcome, remarks = replace(begun, pictures=len(several)), dict.fromkeys(several.notes)
    said: list[str] = []
    with (
        writing_several(
            several,
            target,
            format=options.format,
            quality=options.quality,
            strip_metadata=options.strip_metadata,
            background=options.background,
            before_replace=None if finish is None else lambda whole: said.extend(finish(whole)),
        ) as writer,
        ThreadPoolExecutor(2) as pool,
    ):
        written: Future[None] | None = None
        for picture, seconds in _ahead(several, pool):
            made, restored = restore_one(picture)
            if restored is None:
                assert made.error is not None
                raise made.error
            remarks |= dict.fromkeys(made.notes)
            outcome = _added(outcome, made)
            if written is not None:
                written.result()
            written = pool.submit(writer.add, restored, seconds)
        if written is not None:
            written.result()
    return replace(outcome, notes=(*_few(list(remarks)), *writer.notes, *said))


def _added(total: Outcome, made: Outcome) -> Outcome:
    """Count one more picture in a file's outcome; what seemed wrong is what did with the first."""
    return replace(
        total,
        megapixels=total.megapixels + made.megapixels,
        seconds=total.seconds + made.seconds,
        damage=_damage(total.damage, made.damage),
        strength=made.strength,
        keep_grain=made.keep_grain,
    )


def _damage(first: dict[str, Any] | None, more: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the first picture's damage with whatever restored any."""
    if first is None or more is None:
        return first or more
    by = dict.fromkeys([*first["restored_by"], *more["restored_by"]])
    return {**first, "restored_by": list(by)}


def _few(remarks: list[str]) -> list[str]:
    left = len(remarks) - _SAID
    return remarks if left <= 0 else [*remarks[:_SAID], f"{left} more remarks on single pictures"]


def _ahead(several: Several, pool: Executor) -> Iterator[tuple[Picture, Fraction]]:
    """Yield the pictures, the next one read meanwhile."""
    pictures = iter(several)
    coming = pool.submit(next, pictures, None)
    while (picture := coming.result()) is not None:
        coming = pool.submit(next, pictures, None)
        yield picture
