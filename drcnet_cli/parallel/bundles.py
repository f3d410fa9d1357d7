"""Jobs in bundles of like size, and what a worker does with one.

Bundles are pickles, read by processes of the same run alone. One may come twice: where a worker is
lost it goes to another. So each job comes with the stamp of its output as it was before the run;
where the output is another by now, the job is done. To ask for an object's stamp takes a request:
that is asked only where a worker may have been lost.
"""

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from drcnet_cli.errors import DrcnetError
from drcnet_cli.files.addresses import Place
from drcnet_cli.files.plan import Job
from drcnet_cli.files.remote import existing_object
from drcnet_cli.restore.outcome import Outcome, RunObserver, WriteOptions
from drcnet_cli.restore.pipeline import restore_files

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


class Bundle(NamedTuple):
    """Numbered jobs with their outputs' stamps; `again`: a worker that had them was lost."""

    jobs: list[tuple[int, Job, Stamp]]
    again: bool


def make_bundles(
    jobs: Iterable[Numbered],
    device: str = "cpu",
    again: bool = False,
    before: dict[int, Stamp] | None = None,
) -> Iterator[bytes]:
    """Pack jobs into bundles of files of like size, the largest first among some thousands.

    `before` takes the stamps of outputs that there are, by the jobs' numbers. `again`: the jobs'
    workers were lost, and what `before` holds is from before these. Now each goes alone, so that
    one that ends its workers takes no other with it.
    """
    before = {} if before is None else before
    jobs, most_bytes = iter(jobs), MOST_BYTES[device]
    most_pictures = 1 if again else MOST_PICTURES
    while chunk := list(islice(jobs, _SORTED_TOGETHER)):
        sized = sorted(((_size(job.source), number, job) for number, job in chunk), reverse=True)
        bundle: list[tuple[int, Job, Stamp]] = []
        total = 0
        for size, number, job in sized:
            if bundle and (len(bundle) == most_pictures or total + size > most_bytes):
                yield pickle.dumps(Bundle(bundle, again))
                bundle, total = [], 0
            if not again and (stamp := _stamp(job.destination)) is not None:
                before[number] = stamp
            bundle.append((number, job, before.get(number)))
            total += size
        yield pickle.dumps(Bundle(bundle, again))


def restore_bundle(
    packed: bytes,
    restorer: "Restorer",
    options: WriteOptions,
    notes: list[str],
    succeeds: bool = False,
) -> Iterator[bytes]:
    """Restore a bundle's jobs but for those that are done; yield a `Told` for each.

    `notes` are what the restorer has said so far; those here are taken from it. `succeeds`: it is a
    lost worker's successor that does so.
    """
    bundle: Bundle = pickle.loads(packed)
    numbers = {job: number for number, job, _ in bundle.jobs}
    again = bundle.again or succeeds
    done = {job for _, job, before in bundle.jobs if _is_done(job.destination, before, again)}
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


def _is_done(output: Place, before: Stamp, again: bool) -> bool:
    """Tell whether an output was made in this run."""
    if not isinstance(output, Path):
        try:
            there = existing_object(output) if again else None
        except DrcnetError:  # to write it may work, or will say more
            return False
        return there is not None and _stamp(there) not in (None, before)
    return _stamp(output) not in (None, before)


def _stamp(place: Place) -> Stamp:
    """Return what changes when a whole file takes this name; None: there is none, or an empty one.

    The file's number is part of it: an output made twice may have its time and size. Of an object
    it is what a listing told.
    """
    if not isinstance(place, Path):
        return (0, place.time or 0, place.size) if place.size else None
    try:
        status = place.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status.st_size else None
