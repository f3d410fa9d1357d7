"""`drcnet eval`: a checkpoint's scores by the published protocols, beside the published ones."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli import _options as options
from drcnet_cli.cli._eval_output import (
    EvalProgress,
    Files,
    list_sets,
    print_averages,
    print_evaluation,
)
from drcnet_cli.cli._options import choose_checkpoint, parse_tiling
from drcnet_cli.cli._output import note, notifier
from drcnet_cli.errors import EXIT_SOME_FAILED, ReportError, UsageError
from drcnet_cli.files.addresses import Address, is_address, without_secrets
from drcnet_cli.tasks import ANY_DAMAGE

if TYPE_CHECKING:
    from drcnet_cli.evaluation.session import Evaluator, Measurement


def eval(  # noqa: A001 - the command's name
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            metavar="NAME,...",
            help="Data sets or groups; --list names them.",
            autocompletion=options.complete_test_sets,
        ),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that holds the data sets.")
    ] = None,
    reproduce: Annotated[
        bool, typer.Option("--reproduce", help="Measure every data set below --data-root.")
    ] = False,
    lq: Annotated[
        str | None, typer.Option(metavar="DIR", help="Degraded pictures of your own.")
    ] = None,
    gt: Annotated[
        str | None, typer.Option(metavar="DIR", help="Their targets, matched by name.")
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="--lq's masks: scores inside and outside, too."),
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="List the data sets, and where to get them.")
    ] = False,
    task: options.TaskOption = None,
    model: options.ModelOption = None,
    weights: options.WeightsOption = None,
    experts: options.ExpertOption = True,
    protocol: Annotated[
        str,
        typer.Option(
            metavar="best|paper", help="Our tiles, or the published 256x256 grid, averaged plainly."
        ),
    ] = "best",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first N pictures of each data set.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the noise that is added; 0 unless given.")
    ] = None,
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
    ray: options.RayOption = None,
    shared_storage: options.SharedStorageOption = False,
    dtype: options.DtypeOption = "auto",
    threads: options.ThreadsOption = None,
    hub_repo: options.HubRepoOption = None,
    offline: options.OfflineOption = False,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Measure a checkpoint as the literature does, beside the published results.

    Several processes share the work: torchrun --nproc-per-node 2 -m drcnet_cli eval ...
    """
    if show_list:
        list_sets(as_json)
        return
    if weights is not None and model is not None:
        choose_checkpoint(None, model, weights)  # refuses the two together
    request = Request(dataset, reproduce, lq, gt, data_root, task, masks)
    request.check()
    files = Files(csv, tuple(markdown or ()), html)
    files.check()
    cluster = options.parse_cluster(ray, shared_storage)

    from drcnet_cli.evaluation.processes import join_processes
    from drcnet_cli.evaluation.session import Evaluator, check_submissions, parse_protocol
    from drcnet_cli.restore.config import RestoreConfig

    tiling = parse_protocol(protocol, parse_tiling(tile, overlap, batch))
    plans = request.plans(weights or model, seed or 0, limit, quiet)
    check_submissions(plans, out)
    files.check_scored(plans)
    if seed is not None and not any(plan.test_set.is_made_here for plan in plans):
        raise UsageError("--seed is for pictures degraded here, and none are.", "Leave it out")
    processes = join_processes(device)
    config = RestoreConfig(
        device=device,
        dtype=dtype,
        tiling=tiling,
        ensemble=ensemble,
        hub_repo=hub_repo,
        offline=offline,
        experts=experts,
    )
    quiet = quiet or not processes.main
    if cluster is None:
        evaluator = Evaluator(config, processes=processes, lpips=lpips, notify=notifier(quiet))
        opened = nullcontext(evaluator)
    else:
        from drcnet_cli.evaluation.cluster import evaluator_on

        opened = evaluator_on(cluster, config, lpips=lpips)
    with opened as evaluator, _naming_what_cannot_be_written(out):
        failed = _measure(plans, evaluator, files, out, quiet, as_json)
    processes.leave()
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@contextmanager
def _naming_what_cannot_be_written(out: Path | None) -> Iterator[None]:
    """Turn a file that cannot be written into ReportError: scores that were printed are right."""
    try:
        yield
    except OSError as error:
        raise ReportError(
            f"{error.filename or out} cannot be written ({error.strerror or error}).",
            "Choose another place; scores that were printed are right.",
        ) from error


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
            if not plan.test_set.public and out is not None:
                if main:
                    _submit(plan, evaluator, out, shown)
                continue
            evaluation = evaluator.measure(plan, shown.begin(plan))
            measured.append((plan, evaluation))
            if main:
                shown.clear()
                print_evaluation(evaluation, quiet, as_json)
    if main:
        if not as_json:
            print_averages([evaluation for _, evaluation in measured])
        files.write(measured, evaluator, _command(sys.argv[1:]))
    return any(evaluation.failed for _, evaluation in measured)


def _command(arguments: list[str]) -> str:
    """Return the command as it can be typed again, but for the secrets of its addresses."""
    return shlex.join(["drcnet", *map(_without_secrets, arguments)])


def _without_secrets(argument: str) -> str:
    """Return an argument to be shown; what is an address whole is one to its last letter."""
    start = argument.find("=") + 1 if argument.startswith("--") else 0
    option, value = argument[:start], argument[start:]
    return option + (str(Address(value)) if is_address(value) else without_secrets(value))


def _submit(plan: "Measurement", evaluator: "Evaluator", out: Path, shown: EvalProgress) -> None:
    title, written = plan.test_set.title, evaluator.submit(plan, out, shown.begin(plan))
    note(f"{title}: no scores, as its targets are not public; to be submitted: {written}")


@dataclass(frozen=True)
class Request:
    """What is to be measured: data sets by name, all that are there, or two folders."""

    dataset: str | None
    reproduce: bool
    lq: str | None
    gt: str | None
    data_root: Path | None
    task: str | None
    masks: str | None = None

    def check(self) -> None:
        """Raise UsageError unless exactly one thing is asked for, with what it needs."""
        asked = {
            "--dataset": self.dataset is not None,
            "--reproduce": self.reproduce,
            "--lq and --gt": bool(self.lq or self.gt),
        }
        given = [name for name, present in asked.items() if present]
        if len(given) != 1:
            raise UsageError(
                f"{' and '.join(given)} cannot be combined." if given else "Measure what?",
                "Give --dataset NAME --data-root DIR, or --task T --lq DIR --gt DIR, or "
                "--reproduce --data-root DIR",
            )
        if self.masks and not self.lq:
            raise UsageError("--masks are those of --lq.", "Leave out --masks, or give --lq")
        if self.lq or self.gt:
            if not (self.lq and self.gt):
                raise UsageError("Pairs need two folders.", "Give both --lq DIR and --gt DIR")
            if self.data_root is not None:
                raise UsageError("--data-root is for data sets, not for --lq.", "Leave it out")
        elif self.data_root is None:
            raise UsageError(f"{given[0]} needs a folder to look in.", "Give --data-root DIR")

    def plans(
        self, checkpoint: str | Path | None, seed: int, limit: int | None, quiet: bool
    ) -> "list[Measurement]":
        """Find it; raises UsageError if it isn't there."""
        from drcnet_cli.cli._folders import folder_here, shown_folder
        from drcnet_cli.datasets.evaluation_sets import sets_named
        from drcnet_cli.evaluation import session

        lq, gt, masks = (folder_here(text, quiet) for text in (self.lq, self.gt, self.masks))
        if lq is not None and gt is not None:
            if checkpoint is None:
                choose_checkpoint(self.task, None, None)
            task = self.task or _task_of(checkpoint)
            named = shown_folder(self.lq, lq), shown_folder(self.gt, gt)
            plans = [session.plan_pairs(lq, gt, task, checkpoint, masks, named)]
        elif self.reproduce:
            root = self.data_root or Path()
            plans = session.plan_everything(root, checkpoint, seed, self.task)
        else:
            names = [name for name in (self.dataset or "").split(",") if name]
            found = dict.fromkeys(item for name in names for item in sets_named(name))
            root = self.data_root or Path()
            one = checkpoint or (ANY_DAMAGE if self.task == ANY_DAMAGE else None)
            plans = [session.plan_set(item, root, one, seed) for item in found]
        # A checkpoint of another task is refused later; data sets of another task are left out.
        plans = [plan for plan in plans if self.task in (None, ANY_DAMAGE, plan.test_set.task)]
        if not plans:
            raise UsageError(f"None of these data sets is for {self.task}.", "Leave out --task")
        return [replace(plan, suite=plan.suite.first(limit)) for plan in plans]


def _task_of(checkpoint: str | Path | None) -> str:
    """Read the task that a checkpoint is made for; raises UsageError if it doesn't say."""
    from drcnet_cli.networks.checkpoint import read_info
    from drcnet_cli.weights.fetch import resolve

    task = read_info(resolve(checkpoint).path).task if checkpoint else None
    if task is None:
        raise UsageError("Nothing says how these pairs are scored.", "Add --task")
    return task
