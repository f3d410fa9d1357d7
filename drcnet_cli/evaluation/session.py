"""Measuring checkpoints: what is measured with which, and how it is run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch

from drcnet_cli.datasets.evaluation_sets import ALL_IN_ONE, available, sets_named
from drcnet_cli.datasets.search import Array
from drcnet_cli.datasets.suite import Suite, TestSet, find_suite, pairs_suite
from drcnet_cli.device import choose_device, dtype_name
from drcnet_cli.errors import UsageError
from drcnet_cli.evaluation.processes import Processes
from drcnet_cli.evaluation.results import Evaluation, ImageScore, Setting
from drcnet_cli.evaluation.score import load_lpips, restored_as_scored, score_suite
from drcnet_cli.evaluation.submission import write_bundle
from drcnet_cli.progress import Progress, no_progress
from drcnet_cli.restore.config import RestoreConfig, open_restorer
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import TileOptions
from drcnet_cli.tasks import ANY_DAMAGE, TASKS
from drcnet_cli.version import __version__
from drcnet_cli.weights.fetch import locate, resolve
from drcnet_cli.weights.manifest import load_manifest
from drcnet_cli.weights.store import describe_file

# Scores in order, a sentence for each failure, and how the network ran.
Measured: TypeAlias = tuple[tuple[ImageScore, ...], tuple[str, ...], Setting]

PUBLISHED_TILE = 256  # of the released DRCNet code's evaluations


@dataclass(frozen=True)
class Measurement:
    """A data set to measure with one checkpoint (a name, a file, or the name of a task)."""

    test_set: TestSet
    suite: Suite
    checkpoint: str | Path


def plan_set(
    test_set: TestSet, root: Path, checkpoint: str | Path | None, seed: int = 0
) -> Measurement:
    """Find one data set below `root`; raises UsageError, with where to get it, if it isn't."""
    suite = find_suite(test_set, root, seed=seed)
    return Measurement(test_set, suite, checkpoint or test_set.task)


def plan_pairs(
    lq: Path,
    gt: Path,
    task: str,
    checkpoint: str | Path | None,
    masks: Path | None = None,
    named: tuple[str, str] | None = None,
) -> Measurement:
    """Take pairs of one's own, scored as the task's data sets are; raises UsageError.

    `named`: what to call the two folders, where their paths say little.
    """
    first, second = named or (str(lq), str(gt))
    suite = replace(pairs_suite(lq, gt, masks), layout=f"{first} and {second}")
    title, protocol = f"{first} against {second}", TASKS[task].protocol
    own = TestSet("", title, task, None, "", (), protocol=protocol)
    return Measurement(own, suite, checkpoint or task)


def plan_everything(
    root: Path, checkpoint: str | Path | None, seed: int = 0, task: str | None = None
) -> list[Measurement]:
    """Plan every data set with public targets found below `root`.

    Without a checkpoint, each one of the manifest that is on this machine measures the data sets of
    its task, the task's default first; those for any damage, AirNet's. `task` leaves the others'
    out. Raises UsageError if there is no data set.
    """
    found = available(root)
    if not found:
        raise UsageError(
            f"No data set of `drcnet eval` was found in {root}.",
            "Give --data-root DIR; `drcnet eval --list` shows their names and folders.",
        )
    plans = [
        plan_set(test_set, root, item, seed)
        for test_set in found
        for item in ([checkpoint] if checkpoint else _checkpoints_for(test_set, task))
    ]
    if not plans:
        raise UsageError(
            f"No checkpoint for {', '.join(item.title for item in found)} is on this machine.",
            "Give one with --weights FILE",
        )
    return plans


def check_submissions(plans: Sequence[Measurement], folder: Path | None) -> None:
    """Raise UsageError unless there is a folder to submit from exactly where one is needed."""
    if folder is not None and all(plan.test_set.public for plan in plans):
        raise UsageError(
            "--out is for what DND's and SIDD's sites score, and these targets are public.",
            "Leave out --out; --csv, --markdown and --html write scores",
        )
    for test_set in (plan.test_set for plan in plans):
        if not test_set.public and folder is None:
            raise UsageError(
                f"The targets of {test_set.title} are not public: its site scores what you submit.",
                "Add --out DIR for the files to submit",
            )


def _checkpoints_for(test_set: TestSet, task: str | None) -> list[str]:
    """Name what measures a data set without being asked to, its own task's checkpoints first."""
    tasks = [test_set.task, *([ANY_DAMAGE] if test_set.name in ALL_IN_ONE else [])]
    wanted = [name for name in dict.fromkeys(tasks) if task in (None, name)]
    return [item for name in wanted for item in _checkpoints_here(name)]


def _checkpoints_here(task: str) -> list[str]:
    """Name the manifest's checkpoints of a task that need no download, the default first."""
    here = [
        item
        for item in load_manifest().checkpoints
        if item.task == task and locate(item) in ("bundled", "cached")
    ]
    return [item.name for item in sorted(here, key=lambda item: not item.default)]


class Evaluator:
    """Measures data sets, keeping the network of the last one.

    `config` says how networks run; each measurement names its own checkpoint and task. `lpips`:
    measures that, too; raises UsageError where the package is missing. `notify` gets each
    change of plan that the network's run makes, once.
    """

    def __init__(
        self,
        config: RestoreConfig,
        *,
        processes: Processes | None = None,
        lpips: bool = False,
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.processes = processes or Processes()
        device = self.processes.device(config.device) if lpips else ""
        self._lpips = load_lpips(choose_device(device)) if lpips else None
        self._notify = notify
        self._loaded: tuple[str | Path, Restorer, str] | None = None

    def restorer(self, plan: Measurement) -> Restorer:
        """Load its checkpoint; raises WeightsError, DeviceError, UsageError for another task's."""
        checkpoint = plan.checkpoint
        if self._loaded is None or self._loaded[0] != checkpoint:
            asked = self.config
            path = resolve(checkpoint, hub_repo=asked.hub_repo, offline=asked.offline).path
            device = self.processes.device(asked.device)
            restorer = open_restorer(replace(asked, checkpoint=path, device=device), self._notify)
            self._loaded = checkpoint, restorer, describe_file(path).sha256
        restorer = self._loaded[1]
        check_task(restorer, plan)
        return restorer

    def restore(self, plan: Measurement, degraded: Array) -> Array:
        """Restore one of a plan's pictures, H x W x 3, the way it is scored."""
        return restored_as_scored(degraded, self.restorer(plan), plan.test_set.protocol)

    def measure(self, plan: Measurement, progress: Progress = no_progress) -> Evaluation:
        """Restore and score one data set; every process must call it."""
        images, failed, setting = self._measure(plan, progress)
        test_set = plan.test_set
        return Evaluation(
            benchmark=test_set.name,
            title=test_set.title,
            task=test_set.task,
            protocol=test_set.protocol,
            setting=setting,
            images=images,
            expected=test_set.count,
            layout=plan.suite.layout,
            notes=plan.suite.notes,
            failed=failed,
        )

    def submit(self, plan: Measurement, folder: Path, progress: Progress = no_progress) -> Path:
        """Restore a data set without public targets, and write what its site takes to `folder`.

        Raises UsageError for any other data set.
        """
        restore = self.restorer(plan).restore
        return write_bundle(plan.test_set, plan.suite, restore, folder, progress)

    def _measure(self, plan: Measurement, progress: Progress) -> Measured:
        restorer = self.restorer(plan)
        scores, failed = score_suite(
            plan.suite,
            restorer,
            plan.test_set.protocol,
            lpips=self._lpips,
            processes=self.processes,
            progress=progress,
        )
        assert self._loaded is not None
        setting = describe_setting(restorer, Path(self._loaded[0]).stem, self._loaded[2])
        return scores, failed, setting


def check_task(restorer: Restorer, plan: Measurement) -> None:
    """Raise UsageError for a checkpoint of another task than the data set's."""
    if plan.test_set.task != ANY_DAMAGE:  # there a network for one kind is as welcome
        restorer.info.check_task(plan.test_set.task)


def describe_setting(restorer: Restorer, name: str, sha256: str) -> Setting:
    """Describe how the network ran: once it has, as its number type may have changed."""
    return Setting(
        checkpoint=restorer.info.name or name,
        sha256=sha256,
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
    plans = [plan_set(test_set, Path(data_root), model, seed) for test_set in sets_named(dataset)]
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
