"""What is done with a whole result before it takes its name: file attributes, date, the journal."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from drcnet_cli.files.addresses import Address
from drcnet_cli.files.journal import Journal, in_place_recipe, open_journal, stamp, stamp_at
from drcnet_cli.files.plan import Job

_UNNOTED = "the journal of runs takes no entry: after an interruption this would be done again"


def recipe(**facts: object) -> str:
    """Return what stands for all that decides a result beside its input: a digest of the facts.

    The caller names the checkpoint by its sha256 and what changes pixels or their encoding.
    """
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


class Finisher:
    """Finishes results, for any number of threads.

    `begin` is called before a job's input is read, `finish` when its result is whole: a file here.
    """

    def __init__(self, recipe: str | None, keep_dates: bool) -> None:
        self._recipe = recipe
        self._keep_dates = keep_dates
        self._inputs: dict[Job, os.stat_result | Address] = {}
        self._journal: Journal | None = None
        self._wants_journal = recipe is not None

    def begin(self, job: Job) -> None:
        """Remember the input's file as it is before it is read, and open the journal."""
        if isinstance(job.destination, Address):  # which has nothing that files have
            return
        with suppress(OSError):  # reading it will say so
            self._inputs[job] = job.source.stat() if isinstance(job.source, Path) else job.source
        if self._wants_journal:
            self._wants_journal = False
            # What a power failure loses costs an output a doubt, but a picture in place more.
            with suppress(OSError):  # said before the run, where it matters
                self._journal = open_journal(durable=job.source == job.destination)

    def finish(self, job: Job, whole: Path) -> list[str]:
        """Make the file `whole` ready to be the job's output; return what is to be said of it."""
        source = self._inputs.pop(job, None)
        if source is None or not isinstance(job.destination, Path):
            return []
        if isinstance(source, Address):
            known, notes, in_place = stamp_at(source), [], False
        else:
            known, in_place = stamp(source), job.source == job.destination
            notes = _take_over(job.destination, source, whole) if in_place else []
            if not in_place:
                _keep_private(source, whole)
        if self._keep_dates and not _dated(whole, source, known.time):
            notes.append("the date could not be kept")
        if self._journal is not None and self._recipe is not None:
            recipe = in_place_recipe(self._recipe) if in_place else self._recipe
            noted = self._journal.note(job.destination, whole, known, recipe)
            notes += [] if noted or not in_place else [_UNNOTED]
        return notes

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()


@contextmanager
def open_finisher(recipe: str | None, keep_dates: bool) -> Iterator[Finisher]:
    """Make a finisher for the block; `recipe` None: nothing is noted in the journal."""
    finisher = Finisher(recipe, keep_dates)
    try:
        yield finisher
    finally:
        finisher.close()


def _take_over(source: Path, status: os.stat_result, whole: Path) -> list[str]:
    """Set owner, attributes and mode of a file that replaces its input; name what is lost."""
    made, lost = whole.stat(), []
    if hasattr(os, "chown") and (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
        with suppress(OSError):  # only root may; whoever may write here owns the result then
            os.chown(whole, status.st_uid, status.st_gid)
    if hasattr(os, "listxattr"):
        with suppress(OSError):  # the file system has none
            lost = [name for name in os.listxattr(source) if not _copied(name, source, whole)]
    if whole.stat().st_mode != status.st_mode:
        whole.chmod(stat.S_IMODE(status.st_mode))
    # Others are the system's: it sets those of a new file itself.
    lost = [name for name in lost if name.startswith("user.")]
    return [f"extended attributes left out: {', '.join(lost)}"] if lost else []


def _dated(whole: Path, source: os.stat_result | Address, changed: int) -> bool:
    """Give a file its input's times, if they are known and it can have them."""
    accessed = changed if isinstance(source, Address) else source.st_atime_ns
    try:
        if changed >= 0:
            os.utime(whole, ns=(accessed, changed))
    except OSError:
        return False
    return changed >= 0


def _copied(name: str, source: Path, whole: Path) -> bool:
    try:
        os.setxattr(whole, name, os.getxattr(source, name))
    except OSError:
        return False
    return True


def _keep_private(status: os.stat_result, whole: Path) -> None:
    """Let nobody but the owner do with an output what he may not with its input."""
    mode = stat.S_IMODE(whole.stat().st_mode)
    private = mode & (stat.S_IMODE(status.st_mode) | stat.S_IRUSR | stat.S_IWUSR)
    if private != mode:
        whole.chmod(private)
