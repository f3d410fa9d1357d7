"""Handing jobs out to workers and taking in what became of them, wherever the workers run.

A worker (`serve`) tells what it does, as (kind, content), and asks for its next job when it has
room to read ahead, so that a faster device gets more. Near the end it gets none ahead, so that no
other is left without. The `Launcher` makes workers: processes of this machine, or whatever else can
carry a `RestoreConfig`, jobs and outcomes.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from drcnet_cli.errors import DrcnetError, ImageError
from drcnet_cli.files.addresses import Place
from drcnet_cli.files.packed import Packed
from drcnet_cli.files.plan import Job
from drcnet_cli.restore.config import RestoreConfig, open_restorer
from drcnet_cli.restore.outcome import Outcome, RunObserver, WriteOptions
from drcnet_cli.restore.pipeline import SAMPLES, restore_files, settle_dtype
from drcnet_cli.restore.restorer import RestorerFacts


class Channel(Protocol):
    """Carries picklable objects both ways; EOFError or OSError tell that the other side is gone."""

    def send(self, obj: object, /) -> None:
        """Send one object."""
        ...

    def recv(self) -> Any:  # noqa: ANN401 - a message, or a job
        """Wait for one object."""
        ...


@dataclass(eq=False)
class Worker:
    """One worker as seen from here; `taken` are its jobs under way, `handle` is its launcher's."""

    name: str
    channel: Channel
    handle: Any = None
    taken: dict[int, Job] = field(default_factory=dict)


class Launcher(Protocol):
    """How workers are made."""

    def start(
        self, config: RestoreConfig, options: WriteOptions, samples: Sequence[Place]
    ) -> Worker:
        """Start one that runs `serve` with these."""
        ...

    def wait(self, workers: Sequence[Worker]) -> Sequence[Worker]:
        """Wait until there is something to hear of some of them, and return these."""
        ...

    def stop(self, workers: Sequence[Worker]) -> None:
        """Close their channels, which ends them, and wait until they have."""
        ...


class Dispatch:
    """One run: `run` restores every job on some of the configuration's devices.

    The number type is the same everywhere: where it is open the first worker settles it by the
    first picture that can be read, and the others start then. Nothing is loaded in this process.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        config: RestoreConfig,
        options: WriteOptions,
        launcher: Launcher,
        observer: RunObserver | None = None,
    ) -> None:
        self.outcomes = Packed[Outcome]()
        self._jobs = jobs
        self._begun = 0
        opened = jobs[:SAMPLES] if config.dtype == "auto" else ()
        self._samples = [job.source for job in opened]
        self._config = config
        self._devices = config.devices()
        self._options = options
        self._launcher = launcher
        self._observer = observer or RunObserver()
        self._open: list[Worker] = []
        self._disk_refused = False  # so that no job is begun any more

    def run(self) -> Sequence[Outcome]:
        """Restore every job and return its outcome, as `restore_files` does.

        The jobs of a worker that is killed count as failed; a full disk ends the run. Raises
        DrcnetError if a worker cannot begin.
        """
        try:
            while self._start_workers():
                for worker in self._launcher.wait(self._open):
                    self._hear(worker)
        finally:
            self._launcher.stop(self._open)
        while (job := self.next_job(0)[1]) is not None:  # every worker was killed
            self._fail(job, "no process was left to restore it")
        return self.outcomes

    def next_job(self, ahead: int) -> tuple[int, Job | None]:
        """Take a job off the list, with its number; None: none to begin now.

        Who has jobs waiting, `ahead` of them, gets no more than leaves each other worker as many.
        """
        number, others = self._begun, len(self._open) + len(self._devices) - 1
        if self._disk_refused or number + ahead * others >= len(self._jobs):
            return 0, None
        self._begun += 1
        return number, self._jobs[number]

    def finish(self, outcome: Outcome) -> None:
        """Take note of what became of a job."""
        self.outcomes.append(outcome)
        self._disk_refused = self._disk_refused or outcome.disk_refused
        self._observer.finished(outcome)

    def _fail(self, job: Job, reason: str) -> None:
        error = ImageError(
            f"{job.source} was not restored: {reason}.", "Run the same command again"
        )
        self.finish(Outcome(job, error=error))

    def _start_workers(self) -> bool:
        """Start those that are due, and tell whether any is at work."""
        while self._devices and (self._config.dtype != "auto" or not self._open):
            config = replace(self._config, device=self._devices.pop(0))
            self._open.append(self._launcher.start(config, self._options, self._samples))
        return bool(self._open)

    def _hear(self, worker: Worker) -> None:
        """Answer one message of a worker, or take note of its end."""
        try:
            kind, content = worker.channel.recv()
        except (EOFError, OSError):
            self._launcher.stop([worker])
            self._open.remove(worker)
            for job in () if self._disk_refused else worker.taken.values():
                self._fail(job, f"the process for {worker.name} was killed")
            return
        if kind == "next":
            number, job = self.next_job(content)
            if job is not None:
                worker.taken[number] = job
            with suppress(OSError):  # where it was killed the next receive says so
                worker.channel.send((number, job))
        elif kind == "progress":
            self._observer.progress(*content)
        elif kind == "finished":
            number, outcome = content
            del worker.taken[number]
            self.finish(outcome)
        elif kind == "note":
            self._observer.note(content)
        elif kind in ("opened", "settled"):
            self._learn(kind, content)
        else:
            raise content

    def _learn(self, kind: str, facts: RestorerFacts) -> None:
        """Take what the first worker tells of itself for all of them."""
        if kind == "settled":
            self._config = replace(self._config, dtype=facts.dtype)
            self._observer.facts = facts
        elif self._observer.facts is None:
            self._observer.facts = facts
            self._observer.opened(facts)


def serve(
    channel: Channel, config: RestoreConfig, options: WriteOptions, samples: Sequence[Place]
) -> None:
    """Be a worker: ask for jobs until there are none.

    `samples` settle the number type, where that is open. Without its master it ends at the next
    tile.
    """
    numbers: dict[Job, int] = {}

    def tell(kind: str, content: object) -> None:
        try:
            channel.send((kind, content))
        except OSError:
            raise KeyboardInterrupt from None  # end as if interrupted

    def take(ahead: int) -> Job | None:
        tell("next", ahead)
        number, job = channel.recv()
        if job is not None:
            numbers[job] = number
        return job

    def finished(outcome: Outcome) -> None:
        tell("finished", (numbers.pop(outcome.job), outcome))

    observer = RunObserver(progress=lambda *what: tell("progress", what), finished=finished)
    try:
        restorer = open_restorer(config, lambda text: tell("note", text))
        tell("opened", restorer.facts())
        if config.dtype == "auto":
            settle_dtype(restorer, samples, options.float_range)
            tell("settled", restorer.facts())
        restore_files(take, restorer, options, observer)
    except DrcnetError as error:
        with suppress(OSError):
            channel.send(("error", error))
    except (KeyboardInterrupt, EOFError):
        pass
