"""Work handed out on a Ray cluster: Ray Data gives pieces of it to an actor for each accelerator.

How many pieces an actor has ahead, what becomes of those of a lost node, and how the actors grow
with the cluster is Ray Data's. It can be driven from within a cluster alone, not through Ray's
client: so a `Steward`, an actor beside the driver, drives it, and the driver asks what there is to
hear.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch

from drcnet_cli import settings
from drcnet_cli.parallel.cluster import Cluster, Share, import_ray
from drcnet_cli.restore.config import RestoreConfig, open_restorer
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.weights.fetch import resolve

ROUNDS = 3  # in which a run hands out what it has heard nothing of, the first included
_TRIES = 5  # of a piece whose workers are lost, in each round
_PATIENCE = 0.5  # seconds of news that the driver hears at once

# Pickles that processes of one run send each other; Ray Data's rows.
Piece: TypeAlias = bytes
News: TypeAlias = bytes


@dataclass(frozen=True)
class Setup:
    """What a worker needs to open its restorer, wherever it is, and what `more` it is told.

    `weights`: the checkpoint's bytes in Ray's object store, for only the driver may have the file,
    by the `name`; `folder`: where the driver's relative paths begin.
    """

    config: RestoreConfig
    weights: Any
    name: str
    folder: str
    share: Share
    more: Any = None

    def open(self, notes: list[str]) -> Restorer:
        """Load the network; changes of plan go to `notes`."""
        settings.keep_memory()
        with suppress(OSError):  # where it isn't there, paths had better be absolute
            os.chdir(self.folder)
        if self.share.device == "cpu":
            torch.set_num_threads(self.share.cores)
        with TemporaryDirectory(prefix="drcnet-", ignore_cleanup_errors=True) as folder:
            checkpoint = Path(folder) / self.name
            checkpoint.write_bytes(import_ray("ray").get(self.weights))
            return open_restorer(replace(self.config, checkpoint=checkpoint), notes.append)

    def with_dtype(self, dtype: str) -> "Setup":
        """Return this with the number type of all workers settled."""
        return replace(self, config=replace(self.config, dtype=dtype))


def make_setup(cluster: Cluster, config: RestoreConfig, more: object) -> Setup:
    """Put a configuration's checkpoint into the cluster; raises WeightsError, DeviceError."""
    share = cluster.share(config.device)
    found = resolve(config.checkpoint, hub_repo=config.hub_repo, offline=config.offline).path
    weights = cluster.ray.put(found.read_bytes())
    config = replace(config, device=share.device)
    return Setup(config, weights, found.name, str(Path.cwd()), share, more)


class Steward:
    """Drives Ray Data from within the cluster."""

    def begin(self, pieces: list[Piece], worker: type, setup: Setup, count: int) -> None:
        """Begin to hand out pieces to so many workers; with room for more Ray Data adds some."""
        self._news = _stream(pieces, worker, setup, count)

    def take(self) -> list[News] | None:
        """Wait for news, and return what was told within a moment; None: all was told."""
        news = list(islice(self._news, 1))
        until = time.monotonic() + _PATIENCE
        while news and time.monotonic() < until and (more := list(islice(self._news, 1))):
            news += more
        return news or None


class HandOut:
    """Hands out work from this process; its steward begins to start at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._steward = cluster.nearby(Steward, num_cpus=0)

    def news(self, pieces: list[Piece], worker: type, setup: Setup) -> Iterator[list[News]]:
        """Have pieces done by workers, and yield what they tell, as it comes.

        A worker is made of the setup, and called with a batch, `{"piece": [...]}`, it returns
        `{"news": [...]}`. A piece whose worker is lost goes to another, whole. Where many are lost,
        or the worker raises, or Ray Data gives up on what was under way on a lost node, there is no
        news of it: whoever hands it out does so again, `ROUNDS` times in all. Raises DrcnetError if
        the cluster is lost.
        """
        cluster, steward = self._cluster, self._steward
        count = cluster.workers(setup.share)
        cluster.get(steward.begin.remote(pieces, worker, setup, count))
        while (news := cluster.get(steward.take.remote())) is not None:
            yield news


def _stream(pieces: list[Piece], worker: type, setup: Setup, count: int) -> Iterator[News]:
    """Have Ray Data hand out pieces, a block each, and yield what its actors tell."""
    data = import_ray("ray.data")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # the driver counts what is missing
    rows = [{"piece": piece} for piece in pieces]
    told = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        worker,
        batch_size=None,  # whole blocks
        fn_constructor_args=(setup,),
        compute=data.ActorPoolStrategy(
            min_size=1, max_size=None, initial_size=min(count, len(rows))
        ),
        ray_remote_args_fn=_tries,
        **setup.share.resources,
    )
    for row in told.iter_rows():
        yield row["news"]


def _tries() -> dict[str, int]:
    """Return how often a piece is tried: a picture that ends each worker's process ends no run."""
    return {"max_task_retries": _TRIES}
