"""What `drcnet restore` says of a plan and of its outcome: lines, or a JSON record per file."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import typer

from drcnet_cli.cli.output import note, print_json, print_line
from drcnet_cli.errors import EXIT_SOME_FAILED, ImageError

if TYPE_CHECKING:
    from drcnet_cli.files import Job, Plan
    from drcnet_cli.restore import Outcome


def summarise(plan: "Plan", outcomes: "list[Outcome]", quiet: bool, as_json: bool) -> None:
    """Say how it went; exit 1 if anything failed."""
    failed = [outcome.error for outcome in outcomes if outcome.error]
    if not quiet:
        done = f"{len(outcomes) - len(failed)} restored"
        skipped = f", {len(plan.finished)} already there" if plan.finished else ""
        over = f", {plan.passed_over.total} not images" if plan.passed_over.total else ""
        note(f"{done}{skipped}{over}{f', {len(failed)} failed' if failed else ''}.")
        _note_nothing_found(plan)
    _report_unreadable(plan, as_json)
    for error in failed:
        note(f"Failed: {error.message} {error.hint}".rstrip())
    if failed or plan.unreadable:
        raise typer.Exit(EXIT_SOME_FAILED)


def print_plan(plan: "Plan", as_json: bool) -> None:
    """List what would be done, one input and output a line; exit 1 if a folder hides from it."""
    print_jobs(plan.jobs, "planned", as_json)
    print_jobs(plan.finished, "skipped", as_json)
    note(
        f"{len(plan.jobs)} to restore, {len(plan.finished)} already there, "
        f"{plan.passed_over.total} not images."
    )
    _note_nothing_found(plan)
    _report_unreadable(plan, as_json)
    if plan.unreadable:
        raise typer.Exit(EXIT_SOME_FAILED)


def print_jobs(jobs: "Iterable[Job]", status: Literal["planned", "skipped"], as_json: bool) -> None:
    """List jobs that are not run: status, input and output, a line or a record each."""
    from drcnet_cli.restore import Outcome

    for job in jobs:
        if as_json:
            print_json(Outcome(job, status=status).record())
        else:
            print_line(f"{status}\t{job.source}\t{job.destination}")


def _note_nothing_found(plan: "Plan") -> None:
    if not (plan.jobs or plan.finished):
        note("No images found.")


def _report_unreadable(plan: "Plan", as_json: bool) -> None:
    """Report the folders that could not be listed as failures, which they are."""
    from drcnet_cli.files import Job
    from drcnet_cli.restore import Outcome

    for folder in plan.unreadable:
        error = ImageError(f"The folder {folder} cannot be listed.", "Check its permissions.")
        if as_json:
            print_json(Outcome(Job(folder, folder), error=error).record() | {"output": None})
        note(f"Failed: {error.message} {error.hint}")
