"""Restore with several devices at once: one process for each, fed from one list of jobs.

A process asks for its next job when it has room to read ahead, so that a faster device gets more.
It hears from the parent through its own pipe alone: one that is killed takes nothing along but the
jobs it had, and without a parent it ends at the next tile.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from drcnet_cli.errors import DrcnetError, ImageError
from drcnet_cli.files.plan import Job
from drcnet_cli.restore.pipeline import Outcome, Watch, WriteOptions, restore_files
from drcnet_cli.restore.tile_rule import Tiling

if TYPE_CHECKING:
    from drcnet_cli.restore.restorer import Restorer


@dataclass(frozen=True)
class Recipe:
    """What a process makes its restorer from; the checkpoint lies on this machine already.

    `dtype` is settled, so that all processes compute alike.
    """

    checkpoint: str | Path
    dtype: str
    tiling: Tiling = Tiling()
    ensemble: bool = False


@dataclass
class _Worker:
    """One process as its parent sees it; `taken` are its jobs under way."""

    device: str
    process: BaseProcess
    pipe: Connection
    taken: dict[int, Job] = field(default_factory=dict)


@dataclass
class _Run:
    """What the processes have in common."""

    waiting: Iterator[tuple[int, Job]]
    outcomes: list[Outcome]
    watch: Watch
    notify: Callable[[str], None]
    refused: bool = False  # by the disk: no job is begun any more

    def next_job(self) -> tuple[int, Job | None]:
        return (0, None) if self.refused else next(self.waiting, (0, None))

    def finish(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.refused = self.refused or outcome.disk_refused
        self.watch.finished(outcome)

    def fail(self, job: Job, reason: str) -> None:
        error = ImageError(
            f"{job.source} was not restored: {reason}.", "Run the same command again"
        )
        self.finish(Outcome(job, error=error))


def restore_on(
    devices: Sequence[str],
    jobs: Sequence[Job],
    recipe: Recipe,
    options: WriteOptions,
    watch: Watch | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> list[Outcome]:
    """Restore every job on some device and give its outcome, as `restore_files` does.

    A device may be named more than once. `notify` gets each change of plan. The jobs of a process
    that is killed count as failed; a full disk ends the run, as it does there. Raises DrcnetError
    if a process cannot begin.
    """
    run = _Run(iter(enumerate(jobs)), [], watch or Watch(), notify)
    workers = [_start(device, len(devices), recipe, options) for device in devices]
    try:
        while open_workers := [worker for worker in workers if not worker.pipe.closed]:
            ready = connection.wait([worker.pipe for worker in open_workers])
            for worker in open_workers:
                if worker.pipe in ready:
                    _hear(worker, run)
    finally:  # without its pipe a process ends
        for worker in workers:
            worker.pipe.close()
        for worker in workers:
            worker.process.join()
    while (job := run.next_job()[1]) is not None:  # every process was killed
        run.fail(job, "no process was left to restore it")
    return run.outcomes


def _start(device: str, count: int, recipe: Recipe, options: WriteOptions) -> _Worker:
    context = get_context("spawn")  # a forked process cannot use CUDA
    here, there = context.Pipe()
    process = context.Process(
        target=_work, args=(there, device, count, recipe, options), daemon=True
    )
    process.start()
    there.close()  # else its end would not be seen
    return _Worker(device, process, here)


def _hear(worker: _Worker, run: _Run) -> None:
    """Answer one message of a process, or take note of its end."""
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, OSError):
        worker.pipe.close()
        for job in () if run.refused else worker.taken.values():
            run.fail(job, f"the process for {worker.device} was killed")
        return
    if kind == "next":
        number, job = run.next_job()
        if job is not None:
            worker.taken[number] = job
        _send(worker.pipe, (number, job))
    elif kind == "progress":
        run.watch.progress(*content)
    elif kind == "finished":
        number, outcome = content
        del worker.taken[number]
        run.finish(outcome)
    elif kind == "note":
        run.notify(content)
    else:
        raise content


def _send(pipe: Connection, message: object) -> None:
    with suppress(OSError):  # where it was killed the next receive says so
        pipe.send(message)


def _work(pipe: Connection, device: str, count: int, recipe: Recipe, options: WriteOptions) -> None:
    """Be one of the processes: ask for jobs until there are none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and closes the pipe
    numbers: dict[Job, int] = {}

    def tell(kind: str, content: object) -> None:
        try:
            pipe.send((kind, content))
        except OSError:
            raise KeyboardInterrupt from None  # the parent is gone: end as if interrupted

    def jobs() -> Iterator[Job]:
        while True:
            tell("next", None)
            number, job = pipe.recv()
            if job is None:
                return
            numbers[job] = number
            yield job

    def finished(outcome: Outcome) -> None:
        tell("finished", (numbers.pop(outcome.job), outcome))

    watch = Watch(progress=lambda *what: tell("progress", what), finished=finished)
    try:
        restorer = _make_restorer(device, count, recipe, lambda text: tell("note", text))
        restore_files(jobs(), restorer, options, watch)
    except DrcnetError as error:
        _send(pipe, ("error", error))
    except (KeyboardInterrupt, EOFError):
        pass


def _make_restorer(
    device: str, count: int, recipe: Recipe, notify: Callable[[str], None]
) -> "Restorer":
    import torch

    from drcnet_cli.api import load_model, make_restorer

    if device == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // count))
    network = load_model(recipe.checkpoint, device, recipe.dtype, offline=True)
    return make_restorer(network, recipe.tiling, recipe.ensemble, notify)
