"""Restore many files: reading, computing and writing overlap, and one bad file stops nothing.

One thread reads ahead, the calling thread computes, two threads encode and write. Pictures waiting
on either side are bounded in bytes, so a folder of any size and any picture takes flat memory.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from drcnet_cli.errors import DrcnetError, ImageError, UsageError
from drcnet_cli.files import Job
from drcnet_cli.imageio import Picture, read_picture, write_picture
from drcnet_cli.infer import Restorer

READ_AHEAD = 2  # pictures
WRITERS = 2
PENDING_WRITES = 2  # pictures
BYTES_IN_FLIGHT = 384 * 2**20


@dataclass(frozen=True)
class WriteOptions:
    """How results are encoded; None follows the output's name, else the input."""

    format: str | None = None
    quality: int | None = None
    strip_metadata: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one file; `error` is None where it was restored.

    `megapixels` of the picture (0 if it could not be read), `seconds` of computing; `notes` are
    losses that the output's format made necessary.
    """

    job: Job
    megapixels: float = 0.0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: DrcnetError | None = None

    def record(self) -> dict[str, Any]:
        """Give the JSON record of this file."""
        return {
            "input": str(self.job.source),
            "output": str(self.job.destination),
            "status": "failed" if self.error else "restored",
            "megapixels": round(self.megapixels, 6),
            "seconds": round(self.seconds, 4),
            "notes": list(self.notes),
            "error": self.error.message if self.error else None,
        }


@dataclass
class Watch:
    """What a caller may follow; every call comes from the calling thread.

    `progress` gets the megapixels and the share of a picture just computed, `finished` each
    outcome. `waited` ends as the seconds in which the device had nothing to do.
    """

    progress: Callable[[float, float], None] = lambda _megapixels, _share: None
    finished: Callable[[Outcome], None] = lambda _: None
    waited: float = 0.0


class _Gate:
    """Hold readers back while the pictures in flight take more than a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._closed = False
        self._condition = threading.Condition()

    def pass_through(self) -> None:
        """Wait until the pictures in flight leave room, or the gate is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._taken < self._limit)

    def take(self, count: int) -> None:
        with self._condition:
            self._taken += count

    def give_back(self, count: int) -> None:
        with self._condition:
            self._taken -= count
            self._condition.notify_all()

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()


def restore_files(
    jobs: Sequence[Job], restorer: Restorer, options: WriteOptions, watch: Watch | None = None
) -> list[Outcome]:
    """Restore every job and give its outcome; only errors of this package's are kept from rising.

    A KeyboardInterrupt ends the run after the writes under way: what is written is whole.
    """
    watch = watch or Watch()
    outcomes: list[Outcome] = []
    pending: set[Future[Outcome]] = set()
    gate = _Gate(BYTES_IN_FLIGHT)

    def collect(limit: int) -> None:
        nonlocal pending
        while len(pending) > limit:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                outcomes.append(future.result())
                watch.finished(outcomes[-1])

    with _pool(1, gate) as readers, _pool(WRITERS, gate) as writers:
        for job, future in _read_ahead(jobs, readers, gate):
            started = time.perf_counter()
            picture = future.result()
            watch.waited += time.perf_counter() - started
            outcome, restored = _compute(job, picture, restorer, watch)
            if restored is None:
                outcomes.append(outcome)
                watch.finished(outcome)
                _give_back(gate, picture)
            else:
                pending.add(writers.submit(_write, outcome, restored, options, gate))
            del picture, restored  # the pools may now hold the only references
            collect(PENDING_WRITES)
        collect(0)
    return outcomes


def restore_stream(
    source: str, destination: str, restorer: Restorer, options: WriteOptions, *, overwrite: bool
) -> tuple[str, ...]:
    """Restore one image where either path may be `-` (standard input, output); give its notes.

    Raises ImageError, and UsageError where the destination is a file that exists already.
    """
    target = Path(destination)
    if destination != "-" and target.exists() and not overwrite:
        raise UsageError(f"{destination} exists already.", "Use --overwrite to replace it")
    picture = read_picture(BytesIO(sys.stdin.buffer.read()) if source == "-" else Path(source))
    restored = replace(picture, pixels=restorer.restore(picture.pixels))
    encoded = BytesIO()
    notes = write_picture(
        restored,
        encoded if destination == "-" else target,
        format=options.format,
        quality=options.quality,
        strip_metadata=options.strip_metadata,
    )
    sys.stdout.buffer.write(encoded.getvalue())
    sys.stdout.buffer.flush()
    return tuple(notes)


@contextmanager
def _pool(workers: int, gate: _Gate) -> Iterator[ThreadPoolExecutor]:
    """Give a thread pool which on an interrupt drops what it has not begun."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        gate.close()
        pool.shutdown(wait=True, cancel_futures=True)


def _read_ahead(
    jobs: Sequence[Job], readers: ThreadPoolExecutor, gate: _Gate
) -> Iterator[tuple[Job, "Future[Picture | DrcnetError]"]]:
    """Give each job with its picture to come, a few read in advance."""
    queue: list[tuple[Job, Future[Picture | DrcnetError]]] = []
    for job in jobs:
        queue.append((job, readers.submit(_read, job.source, gate)))
        if len(queue) > READ_AHEAD:
            yield queue.pop(0)
    while queue:
        yield queue.pop(0)


def _read(path: Path, gate: _Gate) -> "Picture | DrcnetError":
    """Read one picture; an error is a value here, to be reported in the file's turn."""
    gate.pass_through()
    try:
        picture = read_picture(path)
    except DrcnetError as error:
        return error
    except MemoryError:
        return ImageError(f"{path} is too large for this machine's memory.")
    gate.take(picture.pixels.nbytes)
    return picture


def _give_back(gate: _Gate, picture: "Picture | DrcnetError") -> None:
    if isinstance(picture, Picture):
        gate.give_back(picture.pixels.nbytes)


def _compute(
    job: Job, picture: "Picture | DrcnetError", restorer: Restorer, watch: Watch
) -> tuple[Outcome, Picture | None]:
    """Restore one picture; give its outcome so far, and the result unless it failed."""
    if isinstance(picture, DrcnetError):
        return Outcome(job, error=picture), None
    started = time.perf_counter()
    outcome = Outcome(job, megapixels=picture.megapixels)
    try:
        pixels = restorer.restore(
            picture.pixels, lambda share: watch.progress(share * outcome.megapixels, share)
        )
    except ImageError as error:
        named = ImageError(f"{job.source}: {error.message}", error.hint)
        return replace(outcome, error=named), None
    seconds = time.perf_counter() - started
    return replace(outcome, seconds=seconds), replace(picture, pixels=pixels)


def _write(outcome: Outcome, picture: Picture, options: WriteOptions, gate: _Gate) -> Outcome:
    """Encode and write one result."""
    destination = outcome.job.destination
    try:
        notes = write_picture(
            picture,
            destination,
            format=options.format,
            quality=options.quality,
            strip_metadata=options.strip_metadata,
        )
    except DrcnetError as error:
        return replace(outcome, error=error)
    except OSError as error:
        reason = error.strerror or str(error)
        return replace(outcome, error=ImageError(f"{destination} cannot be written: {reason}."))
    finally:
        gate.give_back(picture.pixels.nbytes)
    return replace(outcome, notes=tuple(notes))
