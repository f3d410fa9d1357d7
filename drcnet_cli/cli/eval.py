"""`drcnet eval`: a checkpoint's scores by the published protocols, beside the published ones."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli import _options as options
from drcnet_cli.cli._eval_output import (
    EvalProgress,
    Files,
    list_benchmarks,
    print_averages,
    print_evaluation,
)
from drcnet_cli.cli._eval_source import Source
from drcnet_cli.cli._options import choose_checkpoint, parse_tiling
from drcnet_cli.cli._output import notifier
from drcnet_cli.errors import EXIT_SOME_FAILED, ReportError

if TYPE_CHECKING:
    from drcnet_cli.evaluation.processes import Processes
    from drcnet_cli.evaluation.session import Evaluator, Measurement


def eval(  # noqa: A001 - the command's name
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", "-d", metavar="NAME,...", help="Data sets or groups; --list names them."
        ),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that holds the data sets.")
    ] = None,
    reproduce: Annotated[
        bool, typer.Option("--reproduce", help="Measure every data set below --data-root.")
    ] = False,
    lq: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Degraded pictures of your own.")
    ] = None,
    gt: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Their targets, matched by name.")
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="List the data sets, and where to get them.")
    ] = False,
    task: options.TaskOption = None,
    model: options.ModelOption = None,
    weights: options.WeightsOption = None,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="best|paper", help="Our tiles, or the published 256x256 grid, averaged plainly."
        ),
    ] = "best",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first N pictures of each data set.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise that is added.")] = 0,
    lpips: Annotated[bool, typer.Option("--lpips", help="Measure LPIPS, too.")] = False,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each picture's scores.")
    ] = None,
    markdown: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Write tables; one, between its marks, if FILE has them."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with pictures to compare.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to write a submission (DND, SIDD benchmark)."),
    ] = None,
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
    """Measure a checkpoint as the literature does, beside the published results.

    Several processes share the work: torchrun --nproc-per-node 2 -m drcnet_cli eval ...
    """
    if show_list:
        list_benchmarks(as_json)
        return
    chosen = weights or model
    if weights is not None and model is not None:
        choose_checkpoint(None, model, weights)  # refuses the two together
    source = Source(dataset, reproduce, lq, gt, data_root, task)
    source.check()
    files = Files(csv, tuple(markdown or ()), html)
    files.check()

    from drcnet_cli.evaluation.processes import join_processes
    from drcnet_cli.evaluation.session import Evaluator, parse_protocol
    from drcnet_cli.restore.config import RestoreConfig

    tiling = parse_protocol(protocol, parse_tiling(tile, overlap, batch))
    plans = source.plans(chosen, seed, limit)
    processes = join_processes(device)
    config = RestoreConfig(
        device=device,
        dtype=dtype,
        tiling=tiling,
        ensemble=ensemble,
        hub_repo=hub_repo,
        offline=offline,
    )
    quiet = quiet or not processes.main
    evaluator = Evaluator(
        config,
        processes=processes,
        lpips=_lpips(device, processes) if lpips else None,
        notify=notifier(quiet),
    )
    try:
        failed = _measure(plans, evaluator, files, out, quiet, as_json)
    except OSError as error:
        raise ReportError(
            f"{error.filename or out} cannot be written ({error.strerror or error}).",
            "Choose another place; scores that were printed are right.",
        ) from error
    processes.leave()
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _lpips(device: str, processes: "Processes"):  # noqa: ANN202 - Lpips, imported late
    from drcnet_cli.device import choose_device
    from drcnet_cli.evaluation.perceptual import load_lpips

    return load_lpips(choose_device(processes.device(device)))


def _measure(
    plans: "list[Measurement]",
    evaluator: "Evaluator",
    files: Files,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> bool:
    """Measure, print and write; tell whether a picture failed."""
    measured = []
    main = evaluator.processes.main
    with EvalProgress(quiet=quiet) as shown:
        for plan in plans:
            if plan.benchmark is not None and not plan.benchmark.public:
                shown.submission(plan, evaluator, out)
                continue
            evaluation = evaluator.measure(plan, shown.begin(plan))
            measured.append((plan, evaluation))
            if main:
                shown.clear()
                print_evaluation(evaluation, as_json)
    if main:
        if not as_json:
            print_averages([evaluation for _, evaluation in measured])
        command = "drcnet " + " ".join(sys.argv[1:])
        files.write(measured, evaluator, command)
    return any(evaluation.failed for _, evaluation in measured)
