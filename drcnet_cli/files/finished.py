"""Which outputs are finished: told by the journal of runs, and without an entry by their times."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType

from drcnet_cli.files.journal import Journal, in_place_recipe, open_journal, stamp_at
from drcnet_cli.files.plan import Job

OTHERWISE = "made from another input or with other settings"
OLDER = "older than its input"
RESTORED_OTHERWISE = "restored before with other settings"

# Some file systems keep times to two seconds only.
_SAME_TIME = 2 * 10**9  # nanoseconds


class Finished:
    """Judges jobs for `plan_files`; a context manager, which closes the journal.

    `recipe` returns what decides how results are made; it is called when it is needed. With
    `update` stale outputs are made anew. `journal_error` says why there is no journal, if so.
    """

    def __init__(self, recipe: Callable[[], str], *, update: bool = False) -> None:
        self._make_recipe = recipe
        self._update = update
        self.journal_error = ""

    def __enter__(self) -> "Finished":
        """Enter; nothing is opened yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None
    ) -> None:  # fmt: skip
        """Close the journal, if it was needed."""
        if "journal" in self.__dict__ and self.journal is not None:
            self.journal.close()

    @cached_property
    def journal(self) -> Journal | None:
        """The journal, opened at the first question; None where it cannot be opened."""
        try:
            return open_journal()
        except OSError as error:
            self.journal_error = error.strerror or str(error)
            return None

    @cached_property
    def _recipe(self) -> str:
        return self._make_recipe()

    def __call__(self, job: Job) -> str | None:
        """Return None for a job to be done, "" for a finished one, else what is odd about it."""
        with suppress(sqlite3.Error):  # as without a journal
            if job.source == job.destination and isinstance(job.source, Path):
                return self._judge_in_place(job.source)
            doubt = self._judge_copy(job)
            return None if doubt and self._update else doubt
        return None if job.source == job.destination else ""

    def _judge_in_place(self, path: Path) -> str | None:
        entry = self.journal.find_result(path) if self.journal else None
        if entry is None:
            return None
        if entry.recipe in (self._recipe, in_place_recipe(self._recipe)):
            return ""
        # What another run made of another file, a degraded one too, may be an input like any.
        return RESTORED_OTHERWISE if entry.is_in_place else None

    def _judge_copy(self, job: Job) -> str:
        try:
            source, made = stamp_at(job.source), stamp_at(job.destination)
        except OSError:  # gone since it was listed
            return ""
        output = job.destination
        entry = (
            self.journal.find_output(output) if isinstance(output, Path) and self.journal else None
        )
        if entry is None:
            # What is elsewhere may tell no time.
            return OLDER if 0 <= made.time < source.time - _SAME_TIME else ""
        is_same = entry.source == source and entry.recipe == self._recipe
        return "" if is_same else OTHERWISE
