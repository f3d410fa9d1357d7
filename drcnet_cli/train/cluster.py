"""Training on a Ray cluster: Ray Train starts `train` on every worker, as torchrun does.

Ray Train is driven from within the cluster, so that Ray's client can start it too: by a steward
beside this process, which also carries what the main worker has to say. Where a worker is lost,
Ray Train starts them all again, and they go on from the last saved state.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drcnet_cli.errors import DrcnetError
from drcnet_cli.parallel.cluster import Share, import_ray, join, usual_address
from drcnet_cli.train.config import TrainConfig
from drcnet_cli.train.log import Listener, NoListener, Snapshot
from drcnet_cli.train.loop import Result, train

_TRIES = 10  # workers that may be lost in a run
_PATIENCE = 0.5  # seconds between two looks at what there is to hear
_SCRATCH = ".ray"  # Ray Train's own notes, below the run's folder


@dataclass(frozen=True)
class Assignment:
    """What every worker is given; `folder`: where the driver's relative paths begin."""

    config: TrainConfig
    folder: str
    steward: Any


class Steward:
    """Runs Ray Train, and hands on what the workers tell."""

    def __init__(self) -> None:
        self._news: list[tuple[str, Any]] = []

    def fit(self, config: TrainConfig, folder: str, workers: int, share: Share) -> None:
        """Train on so many workers until they are done."""
        training, torch_training = import_ray("ray.train"), import_ray("ray.train.torch")
        here = import_ray("ray").get_runtime_context().current_actor
        with suppress(OSError):
            os.chdir(folder)
        torch_training.TorchTrainer(
            work,
            train_loop_config={"assignment": Assignment(config, folder, here)},
            scaling_config=training.ScalingConfig(
                num_workers=workers,
                use_gpu=share.device == "cuda",
                resources_per_worker={"CPU": share.cores},
            ),
            run_config=training.RunConfig(
                storage_path=str(config.folder.absolute() / _SCRATCH),
                failure_config=training.FailureConfig(max_failures=_TRIES),
            ),
        ).fit()

    def tell(self, kind: str, content: object) -> None:
        """Keep something for the driver to hear."""
        self._news.append((kind, content))

    def take(self) -> list[tuple[str, Any]]:
        """Return what was told since the last time."""
        news, self._news = self._news, []
        return news


class Relay:
    """The main worker's listener: it tells the driver's, through the steward."""

    def __init__(self, steward: Any) -> None:  # noqa: ANN401 - an actor's handle
        self._tell = steward.tell.remote

    def note(self, text: str) -> None:
        """Hand on a sentence."""
        self._tell("note", text)

    def progress(self, snapshot: Snapshot) -> None:
        """Hand on the figures."""
        self._tell("progress", snapshot)


def work(given: dict[str, Assignment]) -> None:
    """Be a worker of Ray Train: train as a process of torchrun's does."""
    assignment = given["assignment"]
    ray: Any = import_ray("ray")
    with suppress(OSError):  # where it isn't there, paths had better be absolute
        os.chdir(assignment.folder)
    try:
        result = train(assignment.config, Relay(assignment.steward))
    except DrcnetError as error:
        ray.get(assignment.steward.tell.remote("error", error))
        raise
    if result.main:
        ray.get(assignment.steward.tell.remote("done", result))


def train_on_cluster(
    config: TrainConfig, workers: int, shared_storage: bool, listener: Listener | None = None
) -> Result:
    """Train as `train` does, on so many workers of RAY_ADDRESS's cluster, else of this machine.

    Raises what `train` does, UsageError without Ray or where workers may lack the files,
    DrcnetError if the cluster is lost.
    """
    listener = listener or NoListener()
    with join(usual_address()) as cluster:
        cluster.check_storage(shared_storage)
        share = cluster.share(config.device)
        config = replace(config, device=share.device)
        listener.note(f"Ray: nodes: {len(cluster.nodes())}; workers: {workers}")
        steward = cluster.nearby(Steward, num_cpus=0, max_concurrency=3)
        running = steward.fit.remote(config, str(Path.cwd()), workers, share)
        done: Result | None = None
        ended = False
        while not ended:
            ended = bool(cluster.ray.wait([running], timeout=_PATIENCE)[0])
            for kind, content in cluster.get(steward.take.remote()):
                if kind == "error":
                    raise content
                elif kind == "done":
                    done = content
                else:
                    getattr(listener, kind)(content)
        cluster.get(running)
    shutil.rmtree(config.folder / _SCRATCH, ignore_errors=True)
    if done is None:
        raise DrcnetError(
            "The training ended without a result.", "The same command goes on from the last save"
        )
    return done
