"""Jobs in bundles of like size, and what a worker does with one.

Bundles are pickles, read by processes of the same run alone. One may come twice: where a worker is
lost it goes to another. So each job comes with the stamp of its output as it was before the run;
where the output is another by now, the job is done.
"""

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from drcnet_cli.files.addresses import Place
from drcnet_cli.files.plan import Job
from drcnet_cli.restore.pipeline import Outcome, RunObserver, WriteOptions, restore_files

if TYPE_CHECKING:
    from drcnet_cli.restore.restorer import Restorer

# Of a bundle. What a lost worker costs and what the others wait for at the end speak for few, the
# handing out for many (docs/scale.md): a bundle takes a core or a GPU some seconds.
MOST_PICTURES = 16
MOST_BYTES = {"cpu": 4 * 2**20, "cuda": 64 * 2**20}
_SORTED_TOGETHER = 4096  # jobs

Stamp: TypeAlias = tuple[int, int, int] | None
Numbered: TypeAlias = tuple[int, Job]


@dataclass(frozen=True)
class Told:
    """What a worker tells of one job, by its number: its outcome, and new notes on the run."""

    number: int
    outcome: Outcome
    notes: tuple[str, ...] = ()


def make_bundles(
    jobs: Iterable[Numbered], device: str = "cpu", most_pictures: int | None = None
) -> Iterator[bytes]:
    """Pack jobs into bundles of files of like size, the largest first among some thousands."""
    jobs, most_bytes = iter(jobs), MOST_BYTES[device]
    most_pictures = most_pictures or MOST_PICTURES
    while chunk := list(islice(jobs, _SORTED_TOGETHER)):
        sized = sorted(((_size(job.source), number, job) for number, job in chunk), reverse=True)
        bundle: list[tuple[int, Job, Stamp]] = []
        total = 0
        for size, number, job in sized:
            if bundle and (len(bundle) == most_pictures or total + size > most_bytes):
                yield pickle.dumps(bundle)
                bundle, total = [], 0
            bundle.append((number, job, _stamp(job.destination)))
            total += size
        yield pickle.dumps(bundle)


def restore_bundle(
    packed: bytes, restorer: "Restorer", options: WriteOptions, notes: list[str]
) -> Iterator[bytes]:
    """Restore a bundle's jobs but for those that are done; yield a `Told` for each.

    `notes` are what the restorer has said so far; those here are taken from it.
    """
    bundle: list[tuple[int, Job, Stamp]] = pickle.loads(packed)
    numbers = {job: number for number, job, _ in bundle}
    done = {job for _, job, before in bundle if _stamp(job.destination) not in (None, before)}
    for job in done:
        yield pickle.dumps(Told(numbers[job], Outcome(job)))
    outcomes = restore_files(
        [job for job in numbers if job not in done], restorer, options, RunObserver()
    )
    for outcome in outcomes:
        said, notes[:] = tuple(notes), []
        yield pickle.dumps(Told(numbers[outcome.job], outcome, said))


def unpack(packed: bytes) -> Told:
    """Read what a worker told."""
    return pickle.loads(packed)


def _size(place: Place) -> int:
    if not isinstance(place, Path):
        return place.size or 0
    try:
        return place.stat().st_size
    except OSError:  # reading it will say so
        return 0


def _stamp(place: Place) -> Stamp:
    """Return what changes when a whole file takes this name; None: there is none, or an empty one.

    The file's number is part of it: an output made twice may have its time and size. Of an object
    in a store None, too: to ask for each takes a request, and what is made twice is the same.
    """
    if not isinstance(place, Path):
        return None
    try:
        status = place.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status.st_size else None
