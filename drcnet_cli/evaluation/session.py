"""One evaluation after another: which checkpoint measures which data set, and how it is run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from drcnet_cli.datasets.case import Protocol, Suite
from drcnet_cli.datasets.suite import (
    Benchmark,
    available,
    benchmarks_named,
    find_suite,
    pairs_suite,
)
from drcnet_cli.device import dtype_name
from drcnet_cli.errors import UsageError
from drcnet_cli.evaluation.processes import Processes
from drcnet_cli.evaluation.results import Evaluation, Setting
from drcnet_cli.evaluation.score import Lpips, Progress, score_suite
from drcnet_cli.restore.config import RestoreConfig, open_restorer
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import TileOptions
from drcnet_cli.version import __version__
from drcnet_cli.weights.fetch import locate, resolve
from drcnet_cli.weights.manifest import load_manifest
from drcnet_cli.weights.store import describe_file

PUBLISHED_TILE = 256  # of the released DRCNet code's evaluations
# How pairs of one's own are scored: as published for the task's best-known set.
OWN_PROTOCOLS = {
    "derain": Protocol("y", "y", "replicate"),
    "denoise": Protocol(),
    "deblur": Protocol(),
}


@dataclass(frozen=True)
class Measurement:
    """A data set to measure with one checkpoint (a name, a file, or the name of a task)."""

    title: str
    task: str
    protocol: Protocol
    suite: Suite
    checkpoint: str | Path
    benchmark: Benchmark | None = None

    @property
    def expected(self) -> int | None:
        """The published number of pictures."""
        return self.benchmark.count if self.benchmark else None


def plan_benchmark(
    benchmark: Benchmark, root: Path, checkpoint: str | Path | None, seed: int = 0
) -> Measurement:
    """Find one data set below `root`; raises UsageError, with where to get it, if it isn't."""
    suite = find_suite(benchmark, root, seed=seed)
    return _measurement(benchmark, suite, checkpoint or benchmark.task)


def plan_pairs(lq: Path, gt: Path, task: str, checkpoint: str | Path | None) -> Measurement:
    """Take pairs of one's own, scored as the task's data sets are; raises UsageError."""
    suite = pairs_suite(lq, gt)
    title = f"{lq} against {gt}"
    return Measurement(title, task, OWN_PROTOCOLS[task], suite, checkpoint or task)


def plan_everything(root: Path, checkpoint: str | Path | None, seed: int = 0) -> list[Measurement]:
    """Plan every data set with public targets found below `root`.

    Without a checkpoint, each one of the manifest that is on this machine measures the data sets of
    its task, the task's default first. Raises UsageError if there is no data set.
    """
    found = available(root)
    if not found:
        raise UsageError(
            f"No data set of `drcnet eval` was found in {root}.",
            "Give --data-root DIR; `drcnet eval --list` shows their names and folders.",
        )
    plans = []
    for benchmark in found:
        suite = find_suite(benchmark, root, seed=seed)
        chosen = [checkpoint] if checkpoint else checkpoints_for(benchmark.task)
        plans += [_measurement(benchmark, suite, item) for item in chosen]
    return plans


def checkpoints_for(task: str) -> list[str]:
    """Name the manifest's checkpoints of a task that need no download, the default first."""
    here = [
        item
        for item in load_manifest().checkpoints
        if item.task == task and locate(item) in ("bundled", "cached")
    ]
    return [item.name for item in sorted(here, key=lambda item: not item.default)]


def _measurement(benchmark: Benchmark, suite: Suite, checkpoint: str | Path) -> Measurement:
    return Measurement(
        benchmark.title, benchmark.task, benchmark.protocol, suite, checkpoint, benchmark
    )


class Evaluator:
    """Measures data sets, keeping the network of the last one.

    `config` says how networks run; each measurement names its own checkpoint and task. `notify`
    gets each change of plan that the network's run makes, once.
    """

    def __init__(
        self,
        config: RestoreConfig,
        *,
        processes: Processes | None = None,
        lpips: Lpips | None = None,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.processes = processes or Processes()
        self._lpips = lpips
        self._notify = notify
        self._loaded: tuple[str | Path, Restorer, str] | None = None

    def restorer(self, checkpoint: str | Path, task: str) -> Restorer:
        """Load a checkpoint; raises WeightsError, DeviceError, UsageError for another task's."""
        if self._loaded is None or self._loaded[0] != checkpoint:
            asked = self.config
            path = resolve(checkpoint, hub_repo=asked.hub_repo, offline=asked.offline).path
            device = self.processes.device(asked.device)
            restorer = open_restorer(replace(asked, checkpoint=path, device=device), self._notify)
            self._loaded = checkpoint, restorer, describe_file(path).sha256
        restorer = self._loaded[1]
        restorer.info.check_task(task)
        return restorer

    def measure(
        self, plan: Measurement, progress: Progress = lambda _done, _count: None
    ) -> Evaluation:
        """Restore and score one data set; every process must call it."""
        restorer = self.restorer(plan.checkpoint, plan.task)
        images, failed = score_suite(
            plan.suite,
            restorer,
            plan.protocol,
            lpips=self._lpips,
            processes=self.processes,
            progress=progress,
        )
        return Evaluation(
            benchmark=plan.benchmark.name if plan.benchmark else "",
            title=plan.title,
            task=plan.task,
            protocol=plan.protocol,
            setting=self._setting(restorer),
            images=images,
            expected=plan.expected,
            layout=plan.suite.layout,
            notes=plan.suite.notes,
            failed=failed,
        )

    def _setting(self, restorer: Restorer) -> Setting:
        """Describe how the network ran: once it has, as its number type may have changed."""
        assert self._loaded is not None
        return Setting(
            checkpoint=restorer.info.name or Path(self._loaded[0]).stem,
            sha256=self._loaded[2],
            device=str(restorer.device),
            dtype=dtype_name(restorer.dtype),
            tiling=restorer.describe_tiles(),
            ensemble=restorer.ensemble,
            version=__version__,
            torch=torch.__version__,
        )


def evaluate(
    dataset: str,
    data_root: str | Path,
    *,
    model: str | Path | None = None,
    protocol: str = "best",
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
) -> list[Evaluation]:
    """Measure a checkpoint on a published data set, or on each of a group such as `rain`.

    `model`: a name of `drcnet weights list` or a file; None: the default of the data set's task.
    `protocol`: `best` restores with our tiles, `paper` with the published evaluations'.
    `seed` is the added noise's.

    Raises UsageError for an unknown data set or one that isn't below `data_root`, and what
    `load_model` raises.
    """
    config = RestoreConfig(tiling=parse_protocol(protocol), device=device, dtype=dtype)
    evaluator = Evaluator(config)
    plans = [
        plan_benchmark(benchmark, Path(data_root), model, seed)
        for benchmark in benchmarks_named(dataset)
    ]
    return [evaluator.measure(plan) for plan in plans]


def parse_protocol(protocol: str, tiling: TileOptions | None = None) -> TileOptions:
    """Return the tiling of a protocol, `best` or `paper`; raises UsageError for another."""
    if protocol == "best":
        return tiling or TileOptions()
    if protocol != "paper":
        raise UsageError(f"Unknown protocol {protocol!r}.", "Use --protocol best or paper")
    if tiling is not None and (tiling.tile is not None or tiling.overlap is not None):
        raise UsageError(
            "--protocol paper has the published tiles.", "Leave out --tile and --overlap"
        )
    batch = tiling.batch if tiling else None
    return TileOptions(PUBLISHED_TILE, 0, batch, published=True)


def first(suite: Suite, limit: int | None) -> Suite:
    """Keep the first pictures of a suite."""
    return suite if limit is None else Suite(suite.cases[:limit], suite.layout, suite.notes)


def grouped(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, list[Evaluation]]]:
    """Yield the evaluations by checkpoint, in the order in which they first come."""
    names = dict.fromkeys(item.setting.checkpoint for item in evaluations)
    for name in names:
        yield name, [item for item in evaluations if item.setting.checkpoint == name]
