"""Restoring on a Ray cluster: Ray Data hands bundles of jobs to an actor for each accelerator.

How many bundles an actor has ahead, what becomes of those of a lost node, and how the actors grow
with the cluster is Ray Data's. It can be driven from within a cluster alone, not through Ray's
client: so a `Steward`, an actor beside the driver, drives it, and the driver asks what there is to
hear. The actors write the results.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from drcnet_cli import settings
from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.files.plan import Job
from drcnet_cli.parallel.bundles import Numbered, make_bundles, restore_bundle, unpack
from drcnet_cli.parallel.cluster import Cluster, ClusterOptions, Share, import_ray, join
from drcnet_cli.restore.config import RestoreConfig, open_restorer
from drcnet_cli.restore.pipeline import Outcome, RunObserver, WriteOptions, settle_dtype
from drcnet_cli.restore.restorer import Restorer, RestorerFacts
from drcnet_cli.weights.fetch import resolve

WINDOW = 2**20  # jobs that Ray Data has at once: what its bookkeeping takes is bounded by it
_TRIES = 5  # of a bundle whose workers are lost
_SAMPLES = 16  # pictures, by the first of which that can be read the number type is settled
_PATIENCE = 0.5  # seconds of outcomes that the driver hears at once


@dataclass(frozen=True)
class Setup:
    """What a worker needs to open its restorer, wherever it is.

    `weights`: the checkpoint's bytes in Ray's object store, for only the driver may have the file,
    by the `name`; `folder`: where the driver's relative paths begin.
    """

    config: RestoreConfig
    options: WriteOptions
    weights: Any
    name: str
    folder: str
    share: Share

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


class RestoreActor:
    """A worker, as Ray Data calls it: it loads its network once."""

    def __init__(self, setup: Setup) -> None:
        self._notes: list[str] = []
        self._options = setup.options
        self._restorer = setup.open(self._notes)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Restore a batch's bundles, and tell what became of each job."""
        told: list[bytes] = []
        for bundle in batch["bundle"]:
            told += restore_bundle(bundle, self._restorer, self._options, self._notes)
        return {"told": told}


class Steward:
    """Drives Ray Data from within the cluster."""

    def begin(self, bundles: list[bytes], setup: Setup, workers: int) -> None:
        """Begin to restore bundles with so many workers; with room for more Ray Data adds some."""
        self._told = _stream(bundles, setup, workers)

    def take(self) -> list[bytes] | None:
        """Wait for news, and return what was told within a moment; None: all was told."""
        told = list(islice(self._told, 1))
        until = time.monotonic() + _PATIENCE
        while told and time.monotonic() < until and (more := list(islice(self._told, 1))):
            told += more
        return told or None


def restore_on_cluster(
    jobs: Sequence[Job],
    config: RestoreConfig,
    options: WriteOptions,
    observer: RunObserver,
    cluster: ClusterOptions,
) -> list[Outcome]:
    """Restore every job on a cluster and return its outcome, as `restore_files` does.

    The jobs of workers that are lost go to others. A full disk ends the run. Raises UsageError for
    a cluster that is not there or whose nodes may lack the files, DrcnetError if it is lost.
    """
    if any(job.source == job.destination for job in jobs):
        raise UsageError(
            "--in-place cannot go with --ray: a picture whose worker is lost might be restored "
            "twice.",
            "Give an output folder",
        )
    with join(cluster.address) as joined:
        if any(isinstance(place, Path) for job in jobs for place in (job.source, job.destination)):
            joined.check_storage(cluster.shared_storage)
        return _Run(joined, jobs, config, options, observer).run()


class _Run:
    """One run, as the driver sees it."""

    def __init__(
        self,
        cluster: Cluster,
        jobs: Sequence[Job],
        config: RestoreConfig,
        options: WriteOptions,
        observer: RunObserver,
    ) -> None:
        self._cluster = cluster
        self._jobs = jobs
        self._observer = observer
        self._outcomes: list[Outcome] = []
        self._heard = bytearray(len(jobs))
        self._noted: set[str] = set()
        self._disk_refused = False
        share = cluster.share(config.device)
        found = resolve(config.checkpoint, hub_repo=config.hub_repo, offline=config.offline).path
        self._setup = Setup(
            replace(config, device=share.device),
            options,
            cluster.ray.put(found.read_bytes()),
            found.name,
            str(Path.cwd()),
            share,
        )

    def run(self) -> list[Outcome]:
        steward = self._cluster.nearby(Steward, num_cpus=0)  # starts while the network is tried
        self._open()
        jobs: Iterator[Numbered] = iter(enumerate(self._jobs))
        workers = self._cluster.workers(self._setup.share)
        while window := list(islice(jobs, WINDOW)):
            bundles = list(make_bundles(window))
            self._cluster.get(steward.begin.remote(bundles, self._setup, workers))
            while (told := self._cluster.get(steward.take.remote())) is not None:
                for each in told:
                    self._hear(each)
                if self._disk_refused:
                    return self._outcomes
        for number in range(len(self._jobs)):
            if not self._heard[number]:
                self._fail(self._jobs[number])
        return self._outcomes

    def _open(self) -> None:
        """Open a restorer once for what people are told and for the number type of all workers."""
        share, sources = self._setup.share, [job.source for job in self._jobs[:_SAMPLES]]
        facts: RestorerFacts = self._cluster.call(_try, self._setup, sources, **share.resources)
        self._setup = replace(self._setup, config=replace(self._setup.config, dtype=facts.dtype))
        nodes, workers = len(self._cluster.nodes()), self._cluster.workers(share)
        each = "a GPU" if share.device == "cuda" else f"{share.cores} of the cores"
        self._observer.facts = facts
        self._observer.opened(facts)
        self._observer.note(f"Ray: nodes: {nodes}; workers: {workers}, each with {each}")

    def _hear(self, packed: bytes) -> None:
        """Take note of one outcome, and of what its worker said."""
        told = unpack(packed, self._jobs)
        if not self._heard[told.number]:
            self._heard[told.number] = 1
            self._finish(told.outcome)
        for text in told.notes:
            if text not in self._noted:
                self._noted.add(text)
                self._observer.note(text)

    def _finish(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._disk_refused = self._disk_refused or outcome.disk_refused
        if outcome.megapixels or not outcome.error:  # else it was never computed
            self._observer.progress(outcome.megapixels, 1.0)
        self._observer.finished(outcome)

    def _fail(self, job: Job) -> None:
        lost = f"{job.source} was not restored: its workers were lost."
        self._finish(Outcome(job, error=ImageError(lost, "Run the same command again")))


def _try(setup: Setup, sources: list[Path]) -> RestorerFacts:
    """Open a restorer and settle its number type, on the cluster."""
    restorer = setup.open([])
    if setup.config.dtype == "auto":
        settle_dtype(restorer, sources, setup.options.float_range)
    return restorer.facts()


def _stream(bundles: list[bytes], setup: Setup, workers: int) -> Iterator[bytes]:
    """Have Ray Data hand out bundles, a block each, and yield what its actors tell."""
    data = import_ray("ray.data")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # the driver counts who is missing
    rows = [{"bundle": bundle} for bundle in bundles]
    told = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        RestoreActor,
        batch_size=None,  # whole blocks
        fn_constructor_args=(setup,),
        compute=data.ActorPoolStrategy(
            min_size=1, max_size=None, initial_size=min(workers, len(rows))
        ),
        max_restarts=-1,
        max_task_retries=_TRIES,
        **setup.share.resources,
    )
    for row in told.iter_rows():
        yield row["told"]
