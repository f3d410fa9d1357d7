"""`drcnet restore`: the main job, on files, folders and streams."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli import options
from drcnet_cli.cli.output import end_unwritten, note, notifier, print_json
from drcnet_cli.cli.restore_devices import check_devices, plan_run
from drcnet_cli.cli.restore_report import (
    check_report,
    print_jobs,
    print_plan,
    summarise,
    write_report,
)
from drcnet_cli.errors import EXIT_INTERRUPTED, UsageError
from drcnet_cli.tasks import TASKS

if TYPE_CHECKING:
    from drcnet_cli.files import Plan
    from drcnet_cli.infer import Restorer, Tiling
    from drcnet_cli.restore import Outcome, Watch, WriteOptions


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
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="png|jpg|webp|tiff|...",
            help="Format of the outputs; default: as the output's name says, else the input's.",
        ),
    ] = None,
    quality: Annotated[
        int | None, typer.Option(min=1, max=100, help="JPEG, WebP or AVIF quality, 1 to 100.")
    ] = None,
    strip_metadata: Annotated[
        bool, typer.Option("--strip-metadata", help="Leave out EXIF, XMP, resolution and text.")
    ] = False,
    float_range: Annotated[
        float | None,
        typer.Option(
            "--float-range",
            metavar="MAX",
            help="The value of white in floating-point inputs; default: 1, others are refused.",
        ),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            "--background",
            metavar="COLOUR",
            help="What transparency is laid on where the format holds none, as white or #ffcc00.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Redo finished outputs too.")
    ] = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the inputs; no OUTPUT is given.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be done.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE.html", help="Write a page of pictures before and after."
        ),
    ] = None,
    tile: options.TileOption = "auto",
    overlap: options.OverlapOption = None,
    batch: options.BatchOption = "auto",
    ensemble: options.EnsembleOption = False,
    device: options.DevicesOption = "auto",
    dtype: options.DtypeOption = "auto",
    backend: options.BackendOption = "torch",
    hub_repo: options.HubRepoOption = None,
    offline: options.OfflineOption = False,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Restore photographs: remove rain, noise or motion blur.

    Finished outputs are skipped, so an interrupted run goes on where it stopped.
    """
    checkpoint = choose_checkpoint(task, model, weights)
    streams = not in_place and "-" in (paths[0], paths[-1])
    if report is not None:
        check_report(report, streams, in_place)
    _check_looks(float_range, background)
    if streams:
        plan = _plan_stream(paths, format, overwrite, as_json)
    else:
        plan = _plan(paths, format, overwrite, in_place)
    if dry_run:
        print_plan(plan, as_json)
        return
    if not plan.jobs:
        if as_json:
            print_jobs(plan.finished, "skipped", as_json)
        _conclude(plan, [], None, checkpoint, report, quiet, as_json)
        return

    from drcnet_cli.restore import WriteOptions

    tiling = parse_tiling(tile, overlap, batch)
    devices = check_devices(device, backend)
    machine = devices[0], dtype, backend
    restorer = _load(checkpoint, task, tiling, machine, ensemble, hub_repo, offline, quiet)
    written = WriteOptions(format, quality, strip_metadata, float_range, background)
    if streams:
        _restore_stream(plan, restorer, written, quiet, as_json)
    else:
        recipe = (checkpoint, tiling, ensemble)
        run = plan_run(plan.jobs, restorer, written, devices, recipe, quiet)
        outcomes = _restore_plan(plan, run, quiet, as_json)
        _conclude(plan, outcomes, restorer, checkpoint, report, quiet, as_json)


def _check_looks(float_range: float | None, background: str | None) -> None:
    """Raise UsageError for a white or a colour that is none, before anything is loaded."""
    if float_range is not None or background is not None:
        from drcnet_cli.imageio import check_float_range, parse_colour

        check_float_range(float_range)
        if background is not None:
            parse_colour(background)


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


def _plan(paths: list[str], format: str | None, overwrite: bool, in_place: bool) -> "Plan":
    """Decide what goes where; raise UsageError also if the output names a file wrongly."""
    from drcnet_cli.files import plan_files
    from drcnet_cli.imageio import format_for, format_suffix

    suffix = format_suffix(format) if format else None
    if in_place:
        return plan_files(paths, None, in_place=True, suffix=suffix)
    if len(paths) < 2:
        raise UsageError(
            f"Only one path is given: {paths[0]}.",
            "Give inputs and then an output, or --in-place to replace the input",
        )
    plan = plan_files(paths[:-1], paths[-1], overwrite=overwrite, suffix=suffix)
    if Path(paths[-1]) in [job.destination for job in (*plan.jobs, *plan.finished)]:
        format_for(Path(paths[-1]), format)
    return plan


def _plan_stream(paths: list[str], format: str | None, overwrite: bool, as_json: bool) -> "Plan":
    """Plan the one image that comes from standard input or goes to standard output."""
    from drcnet_cli.files import Job, PassedOver, Plan
    from drcnet_cli.imageio import format_for, parse_format

    if len(paths) != 2:
        raise UsageError(
            "Standard input or output (-) takes one image.", "Use: drcnet restore -t denoise - -"
        )
    source, target = Path(paths[0]), Path(paths[1])
    if paths[1] != "-":
        if target.is_dir():
            raise UsageError(
                f"{target} is a folder, and standard input has no name to write under.",
                f"Name a file in it: {target / 'restored.png'}",
            )
        if target.exists() and not overwrite:
            raise UsageError(f"{target} exists already.", "Use --overwrite to replace it")
        format_for(target, format)
    elif as_json:
        raise UsageError(
            "Standard output cannot carry both a picture and --json.", "Name a file to write to."
        )
    elif sys.stdout.isatty():
        raise UsageError("The picture would fill the terminal.", "Add: > restored.png")
    elif format:
        parse_format(format)
    return Plan((Job(source, target),), (), PassedOver(), ())


def _load(
    checkpoint: str | Path,
    task: str | None,
    tiling: "Tiling",
    machine: tuple[str, str, str],
    ensemble: bool,
    hub_repo: str | None,
    offline: bool,
    quiet: bool,
) -> "Restorer":
    """Load the network and say once how it will run."""
    from drcnet_cli.api import check_task, load_model, make_restorer
    from drcnet_cli.device import cpu_only_torch_beside_nvidia

    device, dtype, backend = machine
    network = load_model(
        checkpoint, device, dtype, backend=backend, hub_repo=hub_repo, offline=offline
    )
    restorer = make_restorer(network, tiling, ensemble, notify=notifier(quiet))
    check_task(restorer.info, task)
    if not quiet:
        note(f"{restorer.info.name or checkpoint}: {restorer.describe()}")
        if restorer.device.type == "cpu" and cpu_only_torch_beside_nvidia():
            note("Note: a GPU is there, but this torch is a CPU build: see `drcnet doctor`.")
    return restorer


def _restore_plan(
    plan: "Plan", run: "Callable[[Watch], list[Outcome]]", quiet: bool, as_json: bool
) -> "list[Outcome]":
    """Run a plan with progress; exit 130 if interrupted."""
    from drcnet_cli.cli.progress import RestoreProgress
    from drcnet_cli.restore import Watch

    if as_json:
        print_jobs(plan.finished, "skipped", as_json)
    with RestoreProgress(len(plan.jobs), quiet=quiet) as shown:

        def finished(outcome: "Outcome") -> None:
            shown.finished(outcome)
            if as_json:
                print_json(outcome.record())

        watch = Watch(progress=shown.advance, finished=finished)
        try:
            outcomes = run(watch)
        except KeyboardInterrupt:
            shown.stop()
            note("Interrupted: finished files are whole; the same command goes on from here.")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    return outcomes


def _conclude(
    plan: "Plan",
    outcomes: "list[Outcome]",
    restorer: "Restorer | None",
    checkpoint: str | Path,
    report: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write the report, if one is wanted, and say how it went; exit 1 if anything failed."""
    report_error = None
    if report is not None:
        report_error = write_report(report, plan, outcomes, restorer, checkpoint, quiet)
    summarise(plan, outcomes, quiet, as_json, report_error)


def _restore_stream(
    plan: "Plan", restorer: "Restorer", written: "WriteOptions", quiet: bool, as_json: bool
) -> None:
    """Restore one image; raise what went wrong."""
    from drcnet_cli.restore import restore_stream

    try:
        outcome = restore_stream(plan.jobs[0], restorer, written)
    except OSError as error:
        end_unwritten(sys.stdout, error)
    if as_json:
        print_json(outcome.record())
    if outcome.error:
        if isinstance(outcome.error.__cause__, BrokenPipeError):
            end_unwritten(sys.stdout, outcome.error.__cause__)
        raise outcome.error
    for text in () if quiet else outcome.notes:
        note(f"Note: {text}")
