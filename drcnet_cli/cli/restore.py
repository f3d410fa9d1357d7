"""`drcnet restore`: the main job, on files, folders and streams."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli import options
from drcnet_cli.cli.output import note, print_json
from drcnet_cli.errors import EXIT_INTERRUPTED, EXIT_SOME_FAILED, UsageError
from drcnet_cli.tasks import TASKS

if TYPE_CHECKING:
    from drcnet_cli.files import Plan
    from drcnet_cli.infer import Restorer, Tiling
    from drcnet_cli.restore import Outcome, WriteOptions


def restore(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... OUTPUT",
            help="Files, folders or patterns, then where to write; - is standard input or output.",
            show_default=False,
        ),
    ],
    task: options.TaskOption = None,
    model: options.ModelOption = None,
    weights: options.WeightsOption = None,
    format: Annotated[
        str | None, typer.Option("--format", "-f", metavar="png|jpg|webp|tiff|...")
    ] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="JPEG, WebP or AVIF quality, 1 to 100.")
    ] = None,
    strip_metadata: Annotated[bool, typer.Option("--strip-metadata")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Redo finished outputs too.")
    ] = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the inputs; no OUTPUT is given.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be done.")
    ] = False,
    tile: options.TileOption = "auto",
    overlap: options.OverlapOption = None,
    batch: options.BatchOption = "auto",
    ensemble: options.EnsembleOption = False,
    device: options.DeviceOption = "auto",
    dtype: options.DtypeOption = "auto",
    hub_repo: options.HubRepoOption = None,
    offline: options.OfflineOption = False,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Restore photographs: remove rain, noise or motion blur.

    Finished outputs are skipped, so an interrupted run goes on where it stopped.
    """
    from drcnet_cli.imageio import format_suffix

    suffix = format_suffix(format) if format else None
    checkpoint = choose_checkpoint(task, model, weights)
    streams = not in_place and "-" in (paths[0], paths[-1])
    plan = None if streams else _plan(paths, overwrite, in_place, suffix)
    if dry_run:
        _print_plan(plan, as_json)
        return
    if plan and not plan.jobs:
        _summarise(plan, [], quiet, as_json)
        return

    from drcnet_cli.restore import WriteOptions

    tiling = parse_tiling(tile, overlap, batch)
    restorer = _load(checkpoint, tiling, device, dtype, ensemble, hub_repo, offline, quiet)
    written = WriteOptions(format, quality, strip_metadata)
    if plan is None:
        _restore_stream(paths, restorer, written, overwrite)
    else:
        _restore_plan(plan, restorer, written, quiet, as_json)


def choose_checkpoint(task: str | None, model: str | None, weights: Path | None) -> str | Path:
    """Give what names the checkpoint: a file, a name or a task; raise UsageError without one."""
    if task is not None and task not in TASKS:
        raise UsageError(f"Unknown task {task!r}.", f"Use --task {', '.join(TASKS)}")
    if weights is not None and model is not None:
        raise UsageError("--weights and --model both name a checkpoint.", "Leave out either.")
    chosen = weights or model or task
    if chosen is None:
        raise UsageError(
            "Nothing says what to remove.",
            "Add --task derain, --task denoise or --task deblur (or --weights FILE)",
        )
    return chosen


def parse_tiling(tile: str, overlap: int | None, batch: str) -> "Tiling":
    """Read --tile, --overlap and --batch; raise UsageError for what is no number."""
    from drcnet_cli.infer import Tiling

    sizes: list[int | None] = []
    for flag, text in (("--tile", tile), ("--batch", batch)):
        if text != "auto" and not text.isdecimal():
            raise UsageError(f"{flag} cannot be {text!r}.", f"Use {flag} auto or a number")
        sizes.append(None if text == "auto" else int(text))
    return Tiling(tile=sizes[0], overlap=overlap, batch=sizes[1])


def _plan(paths: list[str], overwrite: bool, in_place: bool, suffix: str | None) -> "Plan":
    from drcnet_cli.files import plan_files

    if in_place:
        return plan_files(paths, None, in_place=True, suffix=suffix)
    if len(paths) < 2:
        raise UsageError(
            f"Only one path is given: {paths[0]}.",
            "Give inputs and then an output, or --in-place to replace the input",
        )
    return plan_files(paths[:-1], paths[-1], overwrite=overwrite, suffix=suffix)


def _load(
    checkpoint: str | Path,
    tiling: "Tiling",
    device: str,
    dtype: str,
    ensemble: bool,
    hub_repo: str | None,
    offline: bool,
    quiet: bool,
) -> "Restorer":
    """Load the network and say once how it will run."""
    from drcnet_cli.api import load_model, make_restorer
    from drcnet_cli.device import cpu_only_torch_beside_nvidia

    network = load_model(checkpoint, device, dtype, hub_repo=hub_repo, offline=offline)
    restorer = make_restorer(network, tiling, ensemble, notify=lambda text: note(f"Note: {text}"))
    if not quiet:
        note(f"{restorer.info.name or checkpoint}: {restorer.describe()}")
        if restorer.device.type == "cpu" and cpu_only_torch_beside_nvidia():
            note("Note: a GPU is there, but this torch is a CPU build: see `drcnet doctor`.")
    return restorer


def _restore_plan(
    plan: "Plan", restorer: "Restorer", written: "WriteOptions", quiet: bool, as_json: bool
) -> None:
    """Run a plan with progress; exit 1 if a file failed, 130 if interrupted."""
    from drcnet_cli.cli.progress import RestoreProgress
    from drcnet_cli.restore import Watch, restore_files

    with RestoreProgress(len(plan.jobs), quiet=quiet) as shown:

        def finished(outcome: "Outcome") -> None:
            shown.finished(outcome)
            if as_json:
                print_json(outcome.record())

        watch = Watch(progress=shown.advance, finished=finished)
        try:
            outcomes = restore_files(plan.jobs, restorer, written, watch)
        except KeyboardInterrupt:
            shown.stop()
            note("Interrupted: finished files are whole; the same command goes on from here.")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    _summarise(plan, outcomes, quiet, as_json)


def _summarise(plan: "Plan", outcomes: "list[Outcome]", quiet: bool, as_json: bool) -> None:
    """Say how it went; exit 1 if anything failed."""
    failed = [outcome for outcome in outcomes if outcome.error]
    if as_json:
        for job in plan.finished:
            print_json(
                {"input": str(job.source), "output": str(job.destination), "status": "skipped"}
            )
    if not quiet:
        done = f"{len(outcomes) - len(failed)} restored"
        skipped = f", {len(plan.finished)} already there" if plan.finished else ""
        over = f", {plan.passed_over.total} not images" if plan.passed_over.total else ""
        note(f"{done}{skipped}{over}{f', {len(failed)} failed' if failed else ''}.")
    for folder in plan.unreadable:
        note(f"Failed: the folder {folder} cannot be listed; check its permissions.")
    for outcome in failed:
        if outcome.error:
            note(f"Failed: {outcome.error.message} {outcome.error.hint}".rstrip())
    if failed or plan.unreadable:
        raise typer.Exit(EXIT_SOME_FAILED)


def _print_plan(plan: "Plan | None", as_json: bool) -> None:
    """List what would be done: one input and output a line."""
    for status, jobs in (("planned", plan.jobs), ("skipped", plan.finished)) if plan else ():
        for job in jobs:
            source, destination = str(job.source), str(job.destination)
            if as_json:
                print_json({"input": source, "output": destination, "status": status})
            else:
                typer.echo(f"{status}\t{source}\t{destination}")
    if plan is None:
        note("One image from standard input or to standard output: nothing to list.")
    else:
        note(
            f"{len(plan.jobs)} to restore, {len(plan.finished)} already there, "
            f"{plan.passed_over.total} not images."
        )


def _restore_stream(
    paths: list[str], restorer: "Restorer", written: "WriteOptions", overwrite: bool
) -> None:
    from drcnet_cli.restore import restore_stream

    if len(paths) != 2:
        raise UsageError(
            "Standard input or output (-) takes one image.", "Use: drcnet restore -t denoise - -"
        )
    for text in restore_stream(paths[0], paths[1], restorer, written, overwrite=overwrite):
        note(f"Note: {text}")
