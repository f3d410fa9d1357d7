"""Tar shards restored one after the other: each unpacked here, its pictures restored, packed again.

A shard is finished when it is there, and it is there when it is whole. A sample whose picture
cannot be restored is left out of it.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from drcnet_cli.errors import DrcnetError
from drcnet_cli.files.addresses import Address
from drcnet_cli.files.atomic import atomic_write, refusal
from drcnet_cli.files.finisher import Finisher, open_finisher
from drcnet_cli.files.packed import Packed
from drcnet_cli.files.plan import Job
from drcnet_cli.files.remote import LARGEST, fetch_file, write_file
from drcnet_cli.files.shards import Member, put_pictures, take_pictures
from drcnet_cli.imageio import format_suffix, is_image_name
from drcnet_cli.parallel.processes import restore_jobs
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.restore.outcome import Outcome, RunObserver, WriteOptions


def restore_shards(
    jobs: Sequence[Job],
    config: RestoreConfig,
    options: WriteOptions,
    observer: RunObserver,
    shard_done: Callable[[int, Job, Sequence[Outcome]], None],
) -> Sequence[Outcome]:
    """Restore the pictures of each job's shard, and return their outcomes.

    Of a shard that cannot be read or written there is one, its own. `shard_done` gets
    each shard's number, job and outcomes.
    A full disk ends the run.
    """
    outcomes = Packed[Outcome]()
    inner = replace(options, recipe=None)  # the journal knows shards, not their pictures
    with open_finisher(options.recipe, False) as finisher:
        for number, job in enumerate(jobs, 1):
            finisher.begin(job)
            try:
                made = _restore_shard(job, config, inner, observer, finisher)
            except DrcnetError as error:
                made = [Outcome(job, error=error)]
            except OSError as error:
                made = [Outcome(job, error=refusal(job.destination, error))]
            outcomes.extend(made)
            shard_done(number, job, made)
            if any(outcome.disk_refused for outcome in made):
                break
    return outcomes


def _restore_shard(
    job: Job,
    config: RestoreConfig,
    options: WriteOptions,
    observer: RunObserver,
    finisher: Finisher,
) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="drcnet-shard-") as name:
        shard, taken, made = (Path(name) / part for part in ("shard.tar", "in", "out"))
        taken.mkdir()
        if isinstance(job.source, Address):
            fetch_file(job.source, shard)
        else:
            shard = job.source
        members = take_pictures(shard, taken, str(job.source), is_image_name, LARGEST)
        ending = format_suffix(options.format) if options.format else None
        jobs = {
            Job(
                member.file, made / member.file.with_suffix(ending or member.file.suffix).name
            ): member
            for member in members
        }
        outcomes = restore_jobs(list(jobs), config, options, observer) if jobs else []
        refused = any(outcome.disk_refused for outcome in outcomes)
        if not refused:
            done = {jobs[o.job].name: _path(o.job) for o in outcomes if not o.error}
            failed = {jobs[o.job].key for o in outcomes if o.error}
            with _target(job, finisher) as path, path.open("wb") as target:
                put_pictures(shard, target, done, failed)
        return [_named(outcome, jobs[outcome.job], job) for outcome in outcomes]


def _path(job: Job) -> Path:
    assert isinstance(job.destination, Path)
    return job.destination


@contextmanager
def _target(job: Job, finisher: Finisher) -> Iterator[Path]:
    """Yield a file to write a shard to, which becomes its destination when the block ends."""
    if not isinstance(job.destination, Address):
        with atomic_write(job.destination, lambda whole: _finish(finisher, job, whole)) as path:
            yield path
        return
    with tempfile.TemporaryDirectory(prefix="drcnet-shard-") as folder:
        yield (path := Path(folder) / "shard.tar")
        write_file(job.destination, path)


def _finish(finisher: Finisher, job: Job, whole: Path) -> None:
    finisher.finish(job, whole)


def _named(outcome: Outcome, member: Member, shard: Job) -> Outcome:
    """Return an outcome that names the member of the shard, and no file of the way."""
    source = str(shard.source).removesuffix("?...")  # an address's query
    names = {member.file: f"{source}/{member.name}"}
    names[_path(outcome.job)] = f"{shard.destination}/{member.name}"
    error = outcome.error
    if error is not None:
        for path, name in names.items():
            error.message = error.message.replace(str(path), name)
    source, destination = (Address(name) for name in names.values())
    return replace(outcome, job=Job(source, destination), error=error)
