"""`drcnet restore`: the main job, on files, folders and streams."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli import _options as options
from drcnet_cli.cli._output import end_unwritten, note, notifier, print_json
from drcnet_cli.cli._restore_plan import (
    Asked,
    Made,
    Masks,
    check_looks,
    choose_names,
    choose_pages,
    note_without_videos,
    plan_run,
    plan_stream,
)
from drcnet_cli.cli._restore_report import RunOutput, check_report
from drcnet_cli.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from drcnet_cli.files.plan import Job
    from drcnet_cli.parallel.cluster import ClusterOptions
    from drcnet_cli.restore.config import RestoreConfig
    from drcnet_cli.restore.outcome import Outcome, WriteOptions
    from drcnet_cli.restore.restorer import RestorerFacts


def restore(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT... OUTPUT",
            help="Files, folders, patterns or addresses (s3://...), then where to write; "
            "- is standard input or output.",
            show_default=False,
        ),
    ],
    task: options.TaskOption = None,
    model: options.ModelOption = None,
    weights: options.WeightsOption = None,
    effort: options.EffortOption = "fast",
    experts: options.ExpertOption = True,
    explain: options.ExplainOption = False,
    format: options.FormatOption = None,
    quality: options.QualityOption = None,
    crf: options.CrfOption = None,
    suffix: options.SuffixOption = "",
    name: options.NameOption = "",
    strip_metadata: options.StripMetadataOption = False,
    keep_dates: options.KeepDatesOption = False,
    float_range: options.FloatRangeOption = None,
    background: options.BackgroundOption = None,
    strength: options.StrengthOption = 1.0,
    pages: options.PagesOption = None,
    keep_grain: options.KeepGrainOption = 0.0,
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask", metavar="DIR", help="Masks by the inputs' names: white is what to mend."
        ),
    ] = None,
    mask_out: Annotated[
        Path | None,
        typer.Option("--mask-out", metavar="DIR", help="Write where damage was found, in white."),
    ] = None,
    mask_format: Annotated[
        str | None,
        typer.Option(
            "--mask-format", metavar="png|jpg|...", help="Format of --mask-out's; default: png."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Redo finished outputs too.")
    ] = False,
    update: options.UpdateOption = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the inputs, for good; no OUTPUT is given.")
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
    jobs: options.JobsOption = None,
    ray: options.RayOption = None,
    shared_storage: options.SharedStorageOption = False,
    dtype: options.DtypeOption = "auto",
    backend: options.BackendOption = "torch",
    threads: options.ThreadsOption = None,
    hub_repo: options.HubRepoOption = None,
    offline: options.OfflineOption = False,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Restore photographs: remove rain, noise, motion blur or haze; auto: whatever there is.

    Finished outputs are skipped, so an interrupted run goes on where it stopped.
    """
    checkpoint = options.choose_checkpoint(task, model, weights, effort)
    streams = not in_place and "-" in (paths[0], paths[-1])
    cluster = options.parse_workers(ray, shared_storage, jobs, streams)
    if report is not None:
        check_report(report, streams, in_place)
    check_looks(float_range, background)
    tiling = options.parse_tiling(tile, overlap, batch)
    from drcnet_cli.restore.outcome import WriteOptions

    written = WriteOptions(format, quality, strip_metadata, float_range, background, keep_dates)
    made = Made(checkpoint, tile, overlap, ensemble, strength, experts, mask, crf, keep_grain)
    written = choose_pages(written, pages, in_place)
    masks = Masks(mask, mask_out, mask_format)
    rename = None if streams else choose_names(name, suffix, task, checkpoint)
    asked = Asked(paths, in_place, overwrite, update, rename)
    if asked.shards:
        asked.check_shards(report, masks, ray or jobs)
    if streams:
        plan = plan_stream(paths, format, suffix or name, masks, overwrite, as_json)
    else:
        plan = plan_run(asked, written, partial(made.recipe, written), masks, ray, quiet)
    if crf is not None and not quiet:
        note_without_videos(plan)
    output = RunOutput(plan, checkpoint, report, quiet, as_json, written.pages)
    if dry_run:
        output.list_plan()
        return
    if not plan.jobs:
        output.list_skipped()
        output.conclude([], None)
        return

    from drcnet_cli.restore.config import RestoreConfig

    config = RestoreConfig(
        checkpoint,
        task,
        device,
        dtype,
        backend,
        tiling,
        ensemble,
        hub_repo,
        offline,
        strength,
        experts,
        explain,
        masks.wanted,
        keep_grain,
    )
    in_files = partial(_restore_plan, processes=jobs or "1", cluster=cluster, crf=crf)
    run = _restore_stream if streams else _restore_shards if asked.shards else in_files
    run(config, replace(written, recipe=made.recipe(written)), output)


def _restore_plan(
    config: "RestoreConfig",
    written: "WriteOptions",
    output: RunOutput,
    processes: str,
    cluster: "ClusterOptions | None",
    crf: int | None,
) -> None:
    """Restore a plan's pictures, then its videos, with progress; exit 130 if interrupted."""
    from drcnet_cli.cli._video import restore_shown
    from drcnet_cli.files.packed import Packed
    from drcnet_cli.files.writable import check_writable
    from drcnet_cli.video import is_video_job

    jobs, facts = output.plan.jobs, None
    outcomes: Sequence[Outcome] = ()
    videos = [job for job in jobs if is_video_job(job)]
    pictures = Packed(job for job in jobs if not is_video_job(job)) if videos else jobs
    check_writable(jobs)
    if pictures:
        outcomes, facts = _restore_pictures(pictures, config, written, output, processes, cluster)
    if videos and not any(outcome.disk_refused for outcome in outcomes):
        spread = processes != "1" or len(config.devices()) > 1
        begins = not pictures
        more, facts = restore_shown(
            videos, config, written, crf, output, begins=begins, spread=spread
        )
        outcomes = Packed(chain(outcomes, more))
    output.conclude(outcomes, facts)


def _restore_pictures(
    jobs: "Sequence[Job]",
    config: "RestoreConfig",
    written: "WriteOptions",
    output: RunOutput,
    processes: str,
    cluster: "ClusterOptions | None",
) -> "tuple[Sequence[Outcome], RestorerFacts | None]":
    """Restore pictures with progress; exit 130 if interrupted."""
    from drcnet_cli.cli._progress import RestoreProgress
    from drcnet_cli.parallel.jobs import with_processes
    from drcnet_cli.parallel.processes import restore_jobs
    from drcnet_cli.restore.outcome import RunObserver

    devices: list[str] = []
    if cluster is None:
        config = with_processes(config, processes, len(jobs))
        devices = config.devices()
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
            outcomes = restore_jobs(jobs, config, written, observer, cluster)
        except KeyboardInterrupt:
            shown.stop()
            note("Interrupted: finished files are whole; the same command goes on from here.")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    return outcomes, observer.facts


def _restore_shards(config: "RestoreConfig", written: "WriteOptions", output: RunOutput) -> None:
    """Restore the pictures of a plan's shards, a line a shard; exit 130 if interrupted."""
    from drcnet_cli.files.packed import Packed
    from drcnet_cli.files.writable import check_writable
    from drcnet_cli.parallel.shards import restore_shards
    from drcnet_cli.restore.outcome import RunObserver

    jobs, devices = output.plan.jobs, config.devices()
    check_writable(jobs)
    output.list_skipped()
    introduced: list[RestorerFacts] = []

    def opened(facts: "RestorerFacts") -> None:
        if not introduced:
            output.introduce(facts, devices)
        introduced.append(facts)

    def shard_done(number: int, job: "Job", outcomes: "Sequence[Outcome]") -> None:
        failed = sum(outcome.error is not None for outcome in outcomes)
        if not output.quiet:
            more = f", {failed} failed" if failed else ""
            done = f"{len(outcomes) - failed} restored{more}"
            note(f"[{number}/{len(jobs)}] {job.destination}: {done}")
        for outcome in outcomes if output.as_json else ():
            print_json(outcome.record())

    observer = RunObserver(opened=opened, note=notifier(output.quiet))
    try:
        outcomes = restore_shards(jobs, config, written, observer, shard_done)
    except KeyboardInterrupt:
        note("Interrupted: finished shards are whole; the same command goes on from here.")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    pictures = replace(output.plan, jobs=Packed(outcome.job for outcome in outcomes))
    replace(output, plan=pictures).conclude(outcomes, observer.facts)


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
