"""What `drcnet restore` says of a plan and of its outcome: lines, JSON records, and a page."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from drcnet_cli.cli._output import note, print_json, print_line
from drcnet_cli.errors import EXIT_SOME_FAILED, DrcnetError, ImageError, StorageError, UsageError
from drcnet_cli.version import __version__

if TYPE_CHECKING:
    from drcnet_cli.files.addresses import Place
    from drcnet_cli.files.plan import Job, Plan
    from drcnet_cli.imageio import Pages
    from drcnet_cli.restore.outcome import Outcome
    from drcnet_cli.restore.restorer import RestorerFacts


def check_report(report: Path, streams: bool, in_place: bool) -> None:
    """Raise UsageError if no report can be written of such a run, or under such a name."""
    from drcnet_cli.report.html import check_page_path

    check_page_path(report)
    if streams:
        raise UsageError(
            "--report shows files, and standard input or output (-) leaves none.",
            "Leave out --report, or name files",
        )
    if in_place:
        raise UsageError(
            "--report shows before and after, and --in-place leaves no before.",
            "Leave out either, or name an OUTPUT",
        )


@dataclass(frozen=True)
class RunOutput:
    """What a run says: of its plan, of what restores, and of its end."""

    plan: "Plan"
    checkpoint: str | Path
    report: Path | None
    quiet: bool
    as_json: bool
    pages: "Pages | None" = None

    def list_plan(self) -> None:
        """List what would be done, an input and output a line; exit 1 if a folder hides from it."""
        plan = self.plan
        _list_jobs(plan.jobs, "planned", self.as_json)
        self._list_finished()
        note(
            f"{len(plan.jobs)} to restore, {len(plan.finished)} already there, "
            f"{plan.passed_over.total} not images."
        )
        _note_nothing_found(plan)
        _note_stale(plan)
        _report_unread(plan, False, self.as_json)
        _report_unreadable(plan, self.as_json)
        if plan.unreadable or _only_unread(plan):
            raise typer.Exit(EXIT_SOME_FAILED)

    def list_skipped(self) -> None:
        """Print the records of jobs that were finished before."""
        if self.as_json:
            self._list_finished()

    def _list_finished(self) -> None:
        _list_jobs(self.plan.finished, "skipped", self.as_json, self.plan.stale)

    def introduce(self, facts: "RestorerFacts", devices: list[str]) -> None:
        """Say once what restores, and how it will run."""
        if self.quiet:
            return
        from drcnet_cli.device import cpu_only_torch_beside_nvidia

        note(f"{facts.name or self.checkpoint}: {facts.description}")
        if facts.device == "cpu" and cpu_only_torch_beside_nvidia():
            note("Note: a GPU is there, but this torch is a CPU build: see `drcnet doctor`.")
        if len(devices) > 1:
            note(f"{len(devices)} processes: {', '.join(dict.fromkeys(devices))}")

    def conclude(self, outcomes: "Sequence[Outcome]", facts: "RestorerFacts | None") -> None:
        """Write the report, if one is wanted, and say how it went; exit 1 if anything failed."""
        error = self._write_report(self.report, outcomes, facts) if self.report else None
        if not self.report and any(not outcome.error for outcome in outcomes):
            self._tell_where(outcomes)
        summarise(self.plan, outcomes, self.quiet, self.as_json, error)

    def _tell_where(self, outcomes: "Sequence[Outcome]") -> None:
        """Tell somebody at a terminal where the results are, and how to look at them."""
        if self.quiet or self.as_json or not sys.stderr.isatty():
            return
        from drcnet_cli.video import is_video_job

        last, count, folders, films = None, 0, set[str](), False
        for job in (outcome.job for outcome in outcomes if not outcome.error):
            if job.source == job.destination:
                return  # in place: nothing is left to compare with
            last, count, films = job.destination, count + 1, films or is_video_job(job)
            folders.add(f"{job.destination.parent}/")
        # An address, whose two slashes `commonpath` would make one, may be among them.
        shared = os.path.commonprefix(list(folders)).rpartition("/")[0]
        where = last if count == 1 else shared or "."
        more = "; the same command with --report page.html shows before and after"
        note(f"In {where}{'' if films else more}.")

    def _write_report(
        self, report: Path, outcomes: "Sequence[Outcome]", facts: "RestorerFacts | None"
    ) -> DrcnetError | None:
        """Write the page; return, not raise, what prevents it: the outputs are there anyway."""
        from drcnet_cli.report.html import write_page
        from drcnet_cli.report.pages import page_blocks, page_subtitle

        plan = self.plan
        # In the order of the plan, which the writing of several pictures at once may change.
        restored = {outcome.job for outcome in outcomes if not outcome.error}
        jobs = [job for job in plan.jobs if job in restored] + list(plan.finished)
        failures = [(str(o.job.source), str(o.error)) for o in outcomes if o.error]
        failures += [(str(folder), "The folder cannot be listed.") for folder in plan.unreadable]
        subtitle = page_subtitle(len(restored), len(plan.finished), len(failures))
        try:
            number = self.pages.first if self.pages else 1
            blocks = page_blocks(jobs, failures, self._run_facts(outcomes, facts), number)
            write_page(report, "Restored pictures", blocks, subtitle=subtitle)
        except DrcnetError as error:
            return error
        if not self.quiet:
            note(f"Wrote {report}.")
        return None

    def _run_facts(
        self, outcomes: "Sequence[Outcome]", facts: "RestorerFacts | None"
    ) -> list[tuple[str, str]]:
        """Say what the outputs depend on, and how long they took; of no run, the version."""
        if facts is None:
            return [("Version", f"drcnet {__version__}")]
        import torch

        from drcnet_cli.weights.fetch import resolve
        from drcnet_cli.weights.store import describe_file

        path = resolve(self.checkpoint, offline=True).path  # loaded, so it is on this machine
        megapixels = sum(outcome.megapixels for outcome in outcomes if not outcome.error)
        seconds = sum(outcome.seconds for outcome in outcomes)
        return [
            ("Checkpoint", facts.name or path.name),
            ("Its sha256", describe_file(path).sha256),
            ("Task", facts.task or "not said"),
            ("Computed with", facts.description),
            ("Time", f"{megapixels:.2f} megapixels in {seconds:.1f} s"),
            ("Version", f"drcnet {__version__}, torch {torch.__version__}"),
        ]


def summarise(
    plan: "Plan",
    outcomes: "Sequence[Outcome]",
    quiet: bool,
    as_json: bool,
    report_error: DrcnetError | None = None,
) -> None:
    """Say how it went; exit 1 if anything failed, be it only the report."""
    failed = [outcome.error for outcome in outcomes if outcome.error]
    if not quiet:
        done = f"{len(outcomes) - len(failed)} restored"
        skipped = f", {len(plan.finished)} already there" if plan.finished else ""
        over = f", {plan.passed_over.total} not images" if plan.passed_over.total else ""
        left = len(plan.jobs) - len(outcomes)
        not_begun = f", {left} not begun" if left else ""
        note(f"{done}{skipped}{over}{f', {len(failed)} failed' if failed else ''}{not_begun}.")
        _note_nothing_found(plan)
        _note_stale(plan)
    _report_unread(plan, quiet, as_json)
    _report_unreadable(plan, as_json)
    for error in [*_once_if_full(failed), *([report_error] if report_error else [])]:
        note(f"Failed: {error.message} {error.hint}".rstrip())
    if failed or plan.unreadable or report_error or _only_unread(plan):
        raise typer.Exit(EXIT_SOME_FAILED)


def _once_if_full(failed: list[DrcnetError]) -> list[DrcnetError]:
    """Keep one error of a full disk: the others, of the files under way, would say the same."""
    full = [error for error in failed if isinstance(error, StorageError)]
    return [error for error in failed if error not in full[1:]]


def _list_jobs(
    jobs: "Iterable[Job]",
    status: Literal["planned", "skipped"],
    as_json: bool,
    doubts: "Mapping[Job, str] | None" = None,
) -> None:
    """List jobs that are not run: status, input and output, a line or a record each."""
    from drcnet_cli.restore.outcome import Outcome

    for job in jobs:
        if as_json:
            notes = (doubts[job],) if doubts and job in doubts else ()
            print_json(Outcome(job, notes=notes, status=status).record())
        else:
            print_line(status, str(job.source), str(job.destination))


def _note_nothing_found(plan: "Plan") -> None:
    if not (plan.jobs or plan.finished or plan.unread):
        note("No images found.")


def _note_stale(plan: "Plan") -> None:
    """Count the finished outputs that the inputs or settings of this run would make otherwise."""
    if not plan.stale:
        return
    first, count = next(iter(plan.stale)), len(plan.stale)
    if first.source == first.destination:
        what = "1 file was" if count == 1 else f"{count} files were"
        note(
            f"{what} restored before with other settings: --overwrite restores them again, on top "
            f"({first.source})."
        )
        return
    what = "1 output is" if count == 1 else f"{count} outputs are"
    them, their = ("it", "its input") if count == 1 else ("them", "their inputs")
    was = "was" if count == 1 else "were"
    if first.mask is not None:
        their += " or mask," if count == 1 else " or masks,"
    note(
        f"{what} older than {their} or {was} made with other settings: --update redoes {them} "
        f"({first.destination}{', ...' if count > 1 else ''})."
    )


def _only_unread(plan: "Plan") -> bool:
    return bool(plan.unread) and not (plan.jobs or plan.finished)


def _report_unread(plan: "Plan", quiet: bool, as_json: bool) -> None:
    """Count and name the pictures of kinds that cannot be read here, and say what helps."""
    from drcnet_cli.imageio import install_hint, kind_of_name, unread_error
    from drcnet_cli.imageio.kinds import VIDEO

    if as_json:
        for path in plan.unread:
            print_json(_not_run(path, unread_error(path)) | {"status": "unread"})
    if not plan.unread or (quiet and not _only_unread(plan)):
        return
    counts = Counter(path.suffix.lower() for path in plan.unread)
    named = ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))
    kinds = [kind for path in plan.unread if (kind := kind_of_name(path))]
    what = "file" if VIDEO in kinds else "picture"
    what += "" if len(plan.unread) == 1 else "s"
    note(
        f"Left out: {len(plan.unread)} {what} of kinds that are not read here ({named}). "
        f"{install_hint(kinds)}".rstrip()
    )


def _not_run(path: "Place", error: DrcnetError | None) -> dict[str, Any]:
    """Return the JSON record of what no job was made for."""
    from drcnet_cli.files.plan import Job
    from drcnet_cli.restore.outcome import Outcome

    return Outcome(Job(path, path), error=error).record() | {"output": None}


def _report_unreadable(plan: "Plan", as_json: bool) -> None:
    """Report the folders that could not be listed as failures, which they are."""
    for folder in plan.unreadable:
        error = ImageError(f"The folder {folder} cannot be listed.", "Check its permissions.")
        if as_json:
            print_json(_not_run(folder, error))
        note(f"Failed: {error.message} {error.hint}")
