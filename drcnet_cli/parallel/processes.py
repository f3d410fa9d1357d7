"""Restoring in this process on one device, or in a process for each of several.

A process hears from its parent through its own pipe alone: one that is killed takes nothing along
but the jobs it had, and without a parent it ends at the next tile.
"""

import signal
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from typing import cast

import torch

from drcnet_cli.files.addresses import Place
from drcnet_cli.files.plan import Job
from drcnet_cli.parallel.cluster import ClusterOptions
from drcnet_cli.parallel.dispatch import Dispatch, Worker, serve
from drcnet_cli.parallel.ray_restore import restore_on_cluster
from drcnet_cli.restore.config import RestoreConfig, open_restorer
from drcnet_cli.restore.outcome import Outcome, RunObserver, WriteOptions
from drcnet_cli.restore.pipeline import restore_files
from drcnet_cli.weights.fetch import resolve


def restore_jobs(
    jobs: Sequence[Job],
    config: RestoreConfig,
    options: WriteOptions,
    observer: RunObserver | None = None,
    cluster: ClusterOptions | None = None,
) -> Sequence[Outcome]:
    """Restore every job and return its outcome, as `restore_files` does, on all devices named.

    A device may be named more than once; with a cluster its workers have devices of their own.
    Raises DrcnetError if what is to restore cannot be had.
    """
    observer = observer or RunObserver()
    if cluster is not None:
        return restore_on_cluster(jobs, config, options, observer, cluster)
    devices = config.devices()
    if len(devices) > 1:
        found = resolve(config.checkpoint, hub_repo=config.hub_repo, offline=config.offline)
        config = replace(config, checkpoint=found.path)  # else each process would fetch it
        return Dispatch(jobs, config, options, Processes(len(devices)), observer).run()
    restorer = open_restorer(config, observer.note)
    observer.opened(restorer.facts())
    try:
        return restore_files(jobs, restorer, options, observer)
    finally:
        observer.facts = restorer.facts()


class Processes:
    """Starts a process for each worker; `count` of them share the processors."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._context = get_context("spawn")  # a forked process cannot use CUDA

    def start(
        self, config: RestoreConfig, options: WriteOptions, samples: Sequence[Place]
    ) -> Worker:
        """Start a process that asks for jobs."""
        here, there = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(there, self._count, config, options, samples), daemon=True
        )
        process.start()
        there.close()  # else its end would not be seen
        return Worker(config.device, here, process)

    def wait(self, workers: Sequence[Worker]) -> list[Worker]:
        """Wait until some have said something or ended, and return these."""
        by_pipe = {cast(Connection, worker.channel): worker for worker in workers}
        return [by_pipe[cast(Connection, pipe)] for pipe in connection.wait(list(by_pipe))]

    def stop(self, workers: Sequence[Worker]) -> None:
        """Close their pipes, without which they end, and wait for them."""
        for worker in workers:
            cast(Connection, worker.channel).close()
        for worker in workers:
            worker.handle.join()


def _work(
    pipe: Connection,
    count: int,
    config: RestoreConfig,
    options: WriteOptions,
    samples: Sequence[Place],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and closes the pipe
    if config.device == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // count))
    serve(pipe, config, options, samples)
