"""What the page has done: uploads through the same call as `drcnet restore`'s, and one zip of all.

Nothing here knows the page's library.
"""

import queue
import threading
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from drcnet_cli.errors import UsageError
from drcnet_cli.files.plan import Job
from drcnet_cli.imageio import format_suffix, is_image_name
from drcnet_cli.parallel.processes import restore_jobs
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.restore.outcome import Outcome, RunObserver, WriteOptions
from drcnet_cli.tasks import ANY_DAMAGE


@dataclass(frozen=True)
class Wish:
    """What somebody chose on the page; `weights` is a checkpoint of their own, before any task."""

    task: str = ANY_DAMAGE
    weights: Path | None = None
    strength: float = 1.0
    format: str | None = None
    keep_grain: float = 0.0

    def config(self, base: RestoreConfig) -> RestoreConfig:
        """Return what `drcnet restore` would make of it; `base` says where and how to compute."""
        return replace(
            base,
            checkpoint=self.weights or self.task,
            task=None if self.weights else self.task,
            strength=self.strength,
            keep_grain=self.keep_grain,
            explain=self.weights is None and self.task == ANY_DAMAGE,
        )


class _Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Nobody waits for the results any more."""


def plan_uploads(
    uploads: Sequence[Path], folder: Path, limit: int, format: str | None
) -> list[Job]:
    """Say where each upload's result goes: a folder of its own each, as names may come twice.

    Raises UsageError for none, or for more than `limit`.
    """
    if not uploads:
        raise UsageError("There is no picture yet.", "Drop one above, or take an example")
    if len(uploads) > limit:
        raise UsageError(
            f"These are {len(uploads)} pictures, and the page takes {limit} at a time.",
            "Take fewer; drcnet restore takes any number",
        )
    jobs = []
    for number, path in enumerate(uploads):
        stem, ending = (path.stem, path.suffix) if is_image_name(path) else (path.name, ".png")
        ending = format_suffix(format) if format else ending
        place = folder / str(number) / f"{stem}{ending}"
        place.parent.mkdir(parents=True)
        jobs.append(Job(path, place))
    return jobs


def restore_uploads(
    jobs: Sequence[Job], config: RestoreConfig, format: str | None, stopped: threading.Event
) -> Iterator[Outcome | float]:
    """Restore jobs in a thread: yield the share of a picture just computed, and each outcome.

    Who sets `stopped`, or closes this iterator, stops the computing at the next tile. Raises what
    `restore_jobs` does.
    """
    events: queue.SimpleQueue[Outcome | float | None] = queue.SimpleQueue()

    def progress(_megapixels: float, share: float) -> None:
        if stopped.is_set():
            raise _Stopped
        events.put(share)

    observer = RunObserver(progress, events.put)
    pool = ThreadPoolExecutor(1)
    try:
        run = pool.submit(restore_jobs, jobs, config, WriteOptions(format), observer)
        run.add_done_callback(lambda _: events.put(None))
        while (event := events.get()) is not None:
            yield event
        with suppress(_Stopped):
            run.result()
    except GeneratorExit:
        stopped.set()
        raise
    finally:
        pool.shutdown(wait=False)  # who closes this does not wait for a tile


def say(outcome: Outcome) -> str:
    """Tell in one sentence what became of a picture."""
    if outcome.error:
        said = f"{outcome.error.message} {outcome.error.hint}".rstrip()
        for path in (outcome.job.source, outcome.job.destination):
            said = said.replace(str(path), path.name)  # where it lies for now says nothing
        return said
    notes = "".join(f"; {note}" for note in outcome.notes)
    return f"{outcome.megapixels:.3g} megapixels in {outcome.seconds:.1f} s{notes}"


def pack(paths: Iterable[Path], target: Path) -> Path:
    """Put files into one zip as they are, a name that comes again with its number before it."""
    taken: set[str] = set()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for number, path in enumerate(paths, 1):
            name = path.name if path.name.casefold() not in taken else f"{number}-{path.name}"
            taken.add(name.casefold())
            archive.write(path, name)
    return target
