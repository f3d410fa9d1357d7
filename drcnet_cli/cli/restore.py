"""`drcnet restore`: the main job, on files, folders and streams."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli import _options as options
from drcnet_cli.cli._output import end_unwritten, note, notifier, print_json
from drcnet_cli.cli._restore_report import RunOutput, check_report
from drcnet_cli.errors import EXIT_INTERRUPTED, UsageError

if TYPE_CHECKING:
    from drcnet_cli.files.plan import Plan
    from drcnet_cli.restore.config import RestoreConfig
    from drcnet_cli.restore.pipeline import Outcome, WriteOptions
    from drcnet_cli.restore.restorer import RestorerFacts


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
    effort: options.EffortOption = "fast",
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
    checkpoint = options.choose_checkpoint(task, model, weights, effort)
    streams = not in_place and "-" in (paths[0], paths[-1])
    if report is not None:
        check_report(report, streams, in_place)
    _check_looks(float_range, background)
    if streams:
        plan = _plan_stream(paths, format, overwrite, as_json)
    else:
        plan = _plan(paths, format, overwrite, in_place)
    output = RunOutput(plan, checkpoint, report, quiet, as_json)
    if dry_run:
        output.list_plan()
        return
    if not plan.jobs:
        output.list_skipped()
        output.conclude([], None)
        return

    from drcnet_cli.restore.config import RestoreConfig
    from drcnet_cli.restore.pipeline import WriteOptions

    config = RestoreConfig(
        checkpoint,
        task,
        device,
        dtype,
        backend,
        options.parse_tiling(tile, overlap, batch),
        ensemble,
        hub_repo,
        offline,
    )
    run = _restore_stream if streams else _restore_plan
    written = WriteOptions(format, quality, strip_metadata, float_range, background)
    run(config, written, output)


def _check_looks(float_range: float | None, background: str | None) -> None:
    """Raise UsageError for a white or a colour that is none, before anything is loaded."""
    if float_range is not None or background is not None:
        from drcnet_cli.imageio import check_float_range, parse_colour

        check_float_range(float_range)
        if background is not None:
            parse_colour(background)


def _plan(paths: list[str], format: str | None, overwrite: bool, in_place: bool) -> "Plan":
    """Decide what goes where; raise UsageError also if the output names a file wrongly."""
    from drcnet_cli.files.plan import plan_files
    from drcnet_cli.imageio import format_for, format_suffix, is_image_name, is_unread_name

    suffix = format_suffix(format) if format else None
    plan_files = partial(
        plan_files, is_image=is_image_name, is_unread=is_unread_name, suffix=suffix
    )
    if in_place:
        return plan_files(paths, None, in_place=True)
    if len(paths) < 2:
        raise UsageError(
            f"Only one path is given: {paths[0]}.",
            "Give inputs and then an output, or --in-place to replace the input",
        )
    plan = plan_files(paths[:-1], paths[-1], overwrite=overwrite)
    if Path(paths[-1]) in [job.destination for job in (*plan.jobs, *plan.finished)]:
        format_for(Path(paths[-1]), format)
    return plan


def _plan_stream(paths: list[str], format: str | None, overwrite: bool, as_json: bool) -> "Plan":
    """Plan the one image that comes from standard input or goes to standard output."""
    from drcnet_cli.files.plan import Job, PassedOver, Plan
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


def _restore_plan(config: "RestoreConfig", written: "WriteOptions", output: RunOutput) -> None:
    """Restore a plan's jobs with progress; exit 130 if interrupted."""
    from drcnet_cli.cli._progress import RestoreProgress
    from drcnet_cli.parallel.processes import restore_jobs
    from drcnet_cli.restore.pipeline import RunObserver

    jobs, devices = output.plan.jobs, config.devices()
    with RestoreProgress(len(jobs), quiet=output.quiet) as shown:

        def opened(facts: "RestorerFacts") -> None:
            output.introduce(facts, devices)
            output.list_skipped()
            shown.begin()

        def finished(outcome: "Outcome") -> None:
            shown.finished(outcome)
            if output.as_json:
                print_json(outcome.record())

        observer = RunObserver(shown.advance, finished, opened, notifier(output.quiet))
        try:
            outcomes = restore_jobs(jobs, config, written, observer)
        except KeyboardInterrupt:
            shown.stop()
            note("Interrupted: finished files are whole; the same command goes on from here.")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    output.conclude(outcomes, observer.facts)


def _restore_stream(config: "RestoreConfig", written: "WriteOptions", output: RunOutput) -> None:
    """Restore one image, on the first of the devices; raise what went wrong."""
    from drcnet_cli.restore.config import open_restorer
    from drcnet_cli.restore.pipeline import restore_stream

    config = replace(config, device=config.devices()[0])
    restorer = open_restorer(config, notifier(output.quiet))
    output.introduce(restorer.facts(), [config.device])
    try:
        outcome = restore_stream(output.plan.jobs[0], restorer, written)
    except OSError as error:
        end_unwritten(sys.stdout, error)
    if output.as_json:
        print_json(outcome.record())
    if outcome.error:
        if isinstance(outcome.error.__cause__, BrokenPipeError):
            end_unwritten(sys.stdout, outcome.error.__cause__)
        raise outcome.error
    for text in () if output.quiet else outcome.notes:
        note(f"Note: {text}")
