"""What `drcnet eval` is asked to measure."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from drcnet_cli.cli._options import choose_checkpoint
from drcnet_cli.errors import UsageError

if TYPE_CHECKING:
    from drcnet_cli.evaluation.session import Measurement


@dataclass(frozen=True)
class Source:
    """Data sets by name, all that are there, or two folders: the options of these names."""

    dataset: str | None
    reproduce: bool
    lq: Path | None
    gt: Path | None
    data_root: Path | None
    task: str | None

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
        if self.lq or self.gt:
            if not (self.lq and self.gt):
                raise UsageError("Pairs need two folders.", "Give both --lq DIR and --gt DIR")
        elif self.data_root is None:
            raise UsageError(f"{given[0]} needs a folder to look in.", "Give --data-root DIR")

    def plans(
        self, checkpoint: str | Path | None, seed: int, limit: int | None
    ) -> "list[Measurement]":
        """Find it; raises UsageError if it isn't there."""
        from drcnet_cli.datasets.suite import benchmarks_named
        from drcnet_cli.evaluation import session

        if self.lq is not None and self.gt is not None:
            if checkpoint is None:
                choose_checkpoint(self.task, None, None)
            task = self.task or _task_of(checkpoint)
            plans = [session.plan_pairs(self.lq, self.gt, task, checkpoint)]
        elif self.reproduce:
            plans = session.plan_everything(self.data_root or Path(), checkpoint, seed)
        else:
            names = [name for name in (self.dataset or "").split(",") if name]
            found = dict.fromkeys(item for name in names for item in benchmarks_named(name))
            root = self.data_root or Path()
            plans = [session.plan_benchmark(item, root, checkpoint, seed) for item in found]
        # A checkpoint of another task is refused later; data sets of another task are left out.
        plans = [plan for plan in plans if self.task in (None, plan.task)]
        if not plans:
            raise UsageError(f"None of these data sets is for {self.task}.", "Leave out --task")
        return [replace(plan, suite=session.first(plan.suite, limit)) for plan in plans]


def _task_of(checkpoint: str | Path | None) -> str:
    """Give the task that a checkpoint is made for; raises UsageError if it doesn't say."""
    from drcnet_cli.networks.checkpoint import read_info
    from drcnet_cli.weights.fetch import resolve

    task = read_info(resolve(checkpoint).path).task if checkpoint else None
    if task is None:
        raise UsageError("Nothing says how these pairs are scored.", "Add --task")
    return task
