"""What `drcnet restore` says of a plan and of its outcome: lines, JSON records, and a page."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from drcnet_cli.cli.output import note, print_json, print_line
from drcnet_cli.errors import EXIT_SOME_FAILED, DrcnetError, ImageError, StorageError, UsageError

if TYPE_CHECKING:
    from drcnet_cli.files import Job, Plan
    from drcnet_cli.infer import Restorer
    from drcnet_cli.restore import Outcome


def check_report(report: Path, streams: bool, in_place: bool) -> None:
    """Raise UsageError if no report can be written of such a run, or under such a name."""
    from drcnet_cli.report.page import check_page_path

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


def write_report(
    report: Path,
    plan: "Plan",
    outcomes: "list[Outcome]",
    restorer: "Restorer | None",
    checkpoint: str | Path,
    quiet: bool,
) -> DrcnetError | None:
    """Write the page of a run; give, not raise, what prevents it: the outputs are there anyway."""
    from drcnet_cli.report.page import write_page
    from drcnet_cli.report.restored_page import page_blocks, page_subtitle

    # In the order of the plan, which the writing of several pictures at once may change.
    restored = {outcome.job for outcome in outcomes if not outcome.error}
    jobs = [job for job in plan.jobs if job in restored] + list(plan.finished)
    failures = [(str(o.job.source), str(o.error)) for o in outcomes if o.error]
    failures += [(str(folder), "The folder cannot be listed.") for folder in plan.unreadable]
    subtitle = page_subtitle(len(restored), len(plan.finished), len(failures))
    try:
        blocks = page_blocks(jobs, failures, _run_facts(outcomes, restorer, checkpoint))
        write_page(report, "Restored pictures", blocks, subtitle=subtitle)
    except DrcnetError as error:
        return error
    if not quiet:
        note(f"Wrote {report}.")
    return None


def _run_facts(
    outcomes: "list[Outcome]", restorer: "Restorer | None", checkpoint: str | Path
) -> list[tuple[str, str]]:
    """Say what the outputs depend on, and how long they took; without a restorer, the version."""
    from drcnet_cli import __version__

    if restorer is None:
        return [("Version", f"drcnet {__version__}")]
    import torch

    from drcnet_cli.weights.fetch import resolve
    from drcnet_cli.weights.files import describe_file

    path = resolve(checkpoint, offline=True).path  # loaded, so it is on this machine
    megapixels = sum(outcome.megapixels for outcome in outcomes if not outcome.error)
    seconds = sum(outcome.seconds for outcome in outcomes)
    return [
        ("Checkpoint", restorer.info.name or path.name),
        ("Its sha256", describe_file(path).sha256),
        ("Task", restorer.info.task or "not said"),
        ("Computed with", restorer.describe()),
        ("Time", f"{megapixels:.2f} megapixels in {seconds:.1f} s"),
        ("Version", f"drcnet {__version__}, torch {torch.__version__}"),
    ]


def summarise(
    plan: "Plan",
    outcomes: "list[Outcome]",
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
    _report_unread(plan, quiet, as_json)
    _report_unreadable(plan, as_json)
    for error in _once_if_full(failed):
        note(f"Failed: {error.message} {error.hint}".rstrip())
    if report_error:
        note(f"Failed: {report_error.message} {report_error.hint}".rstrip())
    if failed or plan.unreadable or report_error or _only_unread(plan):
        raise typer.Exit(EXIT_SOME_FAILED)


def _once_if_full(failed: list[DrcnetError]) -> list[DrcnetError]:
    """Keep one error of a full disk: the others, of the files under way, would say the same."""
    full = [error for error in failed if isinstance(error, StorageError)]
    return [error for error in failed if error not in full[1:]]


def print_plan(plan: "Plan", as_json: bool) -> None:
    """List what would be done, one input and output a line; exit 1 if a folder hides from it."""
    print_jobs(plan.jobs, "planned", as_json)
    print_jobs(plan.finished, "skipped", as_json)
    note(
        f"{len(plan.jobs)} to restore, {len(plan.finished)} already there, "
        f"{plan.passed_over.total} not images."
    )
    _note_nothing_found(plan)
    _report_unread(plan, False, as_json)
    _report_unreadable(plan, as_json)
    if plan.unreadable or _only_unread(plan):
        raise typer.Exit(EXIT_SOME_FAILED)


def print_jobs(jobs: "Iterable[Job]", status: Literal["planned", "skipped"], as_json: bool) -> None:
    """List jobs that are not run: status, input and output, a line or a record each."""
    from drcnet_cli.restore import Outcome

    for job in jobs:
        if as_json:
            print_json(Outcome(job, status=status).record())
        else:
            print_line(status, str(job.source), str(job.destination))


def _note_nothing_found(plan: "Plan") -> None:
    if not (plan.jobs or plan.finished or plan.unread):
        note("No images found.")


def _only_unread(plan: "Plan") -> bool:
    return bool(plan.unread) and not (plan.jobs or plan.finished)


def _report_unread(plan: "Plan", quiet: bool, as_json: bool) -> None:
    """Count and name the pictures of kinds that cannot be read here, and say what helps."""
    from drcnet_cli.imageio import install_hint, kind_of_name, unread_error
    from drcnet_cli.restore import Outcome

    if as_json:
        for path in plan.unread:
            record = Outcome(_itself(path), error=unread_error(path)).record()
            print_json(record | {"output": None, "status": "unread"})
    if not plan.unread or (quiet and not _only_unread(plan)):
        return
    counts = Counter(path.suffix.lower() for path in plan.unread)
    named = ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))
    what = "picture" if len(plan.unread) == 1 else "pictures"
    kinds = [kind for path in plan.unread if (kind := kind_of_name(path))]
    note(
        f"Left out: {len(plan.unread)} {what} of kinds that are not read here ({named}). "
        f"{install_hint(kinds)}".rstrip()
    )


def _itself(path: Path) -> "Job":
    from drcnet_cli.files import Job

    return Job(path, path)


def _report_unreadable(plan: "Plan", as_json: bool) -> None:
    """Report the folders that could not be listed as failures, which they are."""
    from drcnet_cli.restore import Outcome

    for folder in plan.unreadable:
        error = ImageError(f"The folder {folder} cannot be listed.", "Check its permissions.")
        if as_json:
            print_json(Outcome(_itself(folder), error=error).record() | {"output": None})
        note(f"Failed: {error.message} {error.hint}")
