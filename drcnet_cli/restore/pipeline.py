"""Restore many files: reading, computing and writing overlap, and one bad file stops nothing.

One thread reads ahead, the calling thread computes, two threads encode and write. Pictures waiting
on either side are bounded in bytes, so a folder of any size and any picture takes flat memory.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import numpy as np

from drcnet_cli.errors import DrcnetError, ImageError, UsageError
from drcnet_cli.files.addresses import Place
from drcnet_cli.files.atomic import refusal
from drcnet_cli.files.finisher import Finisher, open_finisher
from drcnet_cli.files.packed import Packed
from drcnet_cli.files.plan import Job
from drcnet_cli.files.writable import write_refusal
from drcnet_cli.imageio import (
    Picture,
    Several,
    format_for,
    keep_hidden,
    read_first,
    read_pictures,
    unread_error,
    visible_pixels,
    write_picture,
)
from drcnet_cli.imageio.folder import read_mask
from drcnet_cli.restore.gate import Gate
from drcnet_cli.restore.outcome import Outcome, RunObserver, WriteOptions
from drcnet_cli.restore.several import restore_several

if TYPE_CHECKING:
    # Loads torch, which listing a plan needs not.
    from drcnet_cli.restore.restorer import Restorer

STREAM = Path("-")  # standard input or output, in the job of `restore_stream` only
READ_AHEAD = 2  # pictures
WRITERS = 2
PENDING_WRITES = 2  # pictures
BYTES_IN_FLIGHT = 384 * 2**20
SAMPLES = 16  # pictures, by the first of which that can be read the number type is settled

Read: TypeAlias = Picture | Several | DrcnetError  # what came of a file that was to be read
# Gives the next job, told how many wait to be computed; None: none now, and if none waits the end.
TakeJob: TypeAlias = Callable[[int], Job | None]


def restore_files(
    jobs: Iterable[Job] | TakeJob,
    restorer: "Restorer",
    options: WriteOptions,
    observer: RunObserver | None = None,
) -> Sequence[Outcome]:
    """Restore every job and return its outcome; only errors of this package's are kept from rising.

    Jobs are taken a few before their turn. A KeyboardInterrupt ends the run after the writes under
    way: what is written is whole. So does a full disk, with a StorageError; jobs that were not
    begun have no outcome.
    """
    observer = observer or RunObserver()
    outcomes = Packed[Outcome]()
    refused = False
    pending: set[Future[Outcome]] = set()
    gate = Gate(BYTES_IN_FLIGHT)

    def collect(limit: int) -> None:
        nonlocal pending, refused
        while len(pending) > limit:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = future.result()
                outcomes.append(outcome)
                refused = refused or outcome.disk_refused
                observer.finished(outcome)

    with (
        open_finisher(options.recipe, options.keep_dates) as finisher,
        _pool(1, gate) as readers,
        _pool(WRITERS, gate) as writers,
    ):
        for job, future in _read_ahead(jobs, readers, options, gate, finisher):
            started = time.perf_counter()
            picture = future.result()
            observer.waited += time.perf_counter() - started
            if isinstance(picture, Several):
                restored = mask = None
                outcome = _restore_several(job, picture, options, restorer, observer, finisher)
            else:
                outcome, restored, mask = _compute(job, picture, restorer, observer)
            if restored is None:
                outcomes.append(outcome)
                refused = refused or outcome.disk_refused
                observer.finished(outcome)
                _give_back(gate, picture)
            else:
                pending.add(
                    writers.submit(_write_job, outcome, restored, mask, options, gate, finisher)
                )
            del picture, restored, mask  # the pools may now hold the only references
            collect(PENDING_WRITES)
            if refused:
                break
        collect(0)
    return outcomes


def settle_dtype(
    restorer: "Restorer", sources: Iterable[Place], float_range: float | None = None
) -> None:
    """Decide on the number type by the first picture that can be read, if that is still open."""
    for source in sources if restorer.dtype_is_open else ():
        try:
            pixels = read_first(source, float_range=float_range).pixels
        except (DrcnetError, MemoryError):  # said when its turn comes
            continue
        restorer.settle_dtype(pixels)
        return


def restore_stream(job: Job, restorer: "Restorer", options: WriteOptions) -> Outcome:
    """Restore one image where either path may be `STREAM`; return its outcome."""
    gate = Gate(BYTES_IN_FLIGHT)
    source = sys.stdin.buffer if job.source == STREAM else job.source
    target = sys.stdout.buffer if job.destination == STREAM else job.destination
    picture = _read(source, options, gate)
    if isinstance(picture, Several):
        outcome = _restore_several(job, picture, options, restorer, RunObserver(), target=target)
    else:
        outcome, restored, _ = _compute(job, picture, restorer, RunObserver())
        if restored is None:
            return outcome
        outcome = _write(outcome, restored, target, options, gate)
    sys.stdout.buffer.flush()
    return outcome


@contextmanager
def _pool(workers: int, gate: Gate) -> Iterator[ThreadPoolExecutor]:
    """Open a thread pool which on an interrupt drops what it has not begun."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        gate.close()
        pool.shutdown(wait=True, cancel_futures=True)


def _read_ahead(
    jobs: Iterable[Job] | TakeJob,
    readers: ThreadPoolExecutor,
    options: WriteOptions,
    gate: Gate,
    finisher: Finisher,
) -> Iterator[tuple[Job, Future[Read]]]:
    """Yield each job with its picture to come, a few read in advance."""
    queue: list[tuple[Job, Future[Read]]] = []
    listed = iter(()) if callable(jobs) else iter(jobs)
    take: TakeJob = jobs if callable(jobs) else lambda _: next(listed, None)
    while (job := take(len(queue))) is not None or queue:
        if job is not None:
            queue.append((job, readers.submit(_read_job, job, options, gate, finisher)))
        if job is None or len(queue) > READ_AHEAD:
            yield queue.pop(0)


def _read_job(job: Job, options: WriteOptions, gate: Gate, finisher: Finisher) -> Read:
    """Read a job's picture unless its output's name or folder could not be written anyway."""
    try:
        format_for(job.destination, options.format)
    except UsageError as error:
        # What cannot be read either is told so: no other format would help.
        return unread_error(job.source) or error
    if (error := write_refusal(job.destination)) is not None:
        return error
    finisher.begin(job)
    return _read(job.source, options, gate)


def _read(source: Place | BinaryIO, options: WriteOptions, gate: Gate) -> Read:
    """Read one picture; an error is a value here, to be reported in the file's turn.

    Of several their file is opened: they are read when they are computed.
    """
    gate.pass_through()
    try:
        picture = read_pictures(source, pages=options.pages, float_range=options.float_range)
    except DrcnetError as error:
        return error
    except MemoryError:
        return _too_large(source if isinstance(source, Place) else "The standard input")
    if isinstance(picture, Picture):
        gate.take(picture.pixels.nbytes)
    return picture


def _give_back(gate: Gate, picture: Read) -> None:
    if isinstance(picture, Picture):
        gate.give_back(picture.pixels.nbytes)


def _compute(
    job: Job, picture: "Picture | DrcnetError", restorer: "Restorer", observer: RunObserver
) -> tuple[Outcome, Picture | None, np.ndarray | None]:
    """Restore one picture; return its outcome so far, the result unless it failed, and a mask.

    The mask, H x W x 1 uint8, is where a job has one, given or to be written.
    """
    if isinstance(picture, DrcnetError):
        return Outcome(job, error=picture), None, None
    started = time.perf_counter()
    outcome = Outcome(job, megapixels=picture.megapixels, strength=restorer.strength)
    try:
        visible, mask = visible_pixels(picture), None

        def progress(share: float) -> None:
            observer.progress(share * outcome.megapixels, share)

        if job.mask or job.mask_out:
            told = read_mask(job.mask, picture.pixels.shape) if job.mask else None
            pixels, mask = restorer.restore_with_mask(visible, told, progress)
        else:
            pixels = restorer.restore(visible, progress)
        keep_hidden(pixels, picture)
    except ImageError as error:
        named = ImageError(f"{job.source}: {error.message}", error.hint)
        return replace(outcome, error=named), None, None
    except MemoryError:
        return replace(outcome, error=_too_large(job.source)), None, None
    notes = (note,) if (note := restorer.remark()) else ()
    outcome = replace(outcome, seconds=time.perf_counter() - started, notes=notes)
    outcome = replace(outcome, damage=restorer.damage(), keep_grain=restorer.keep_grain)
    return outcome, replace(picture, pixels=pixels), mask


def _restore_several(
    job: Job,
    several: Several,
    options: WriteOptions,
    restorer: "Restorer",
    observer: RunObserver,
    finisher: Finisher | None = None,
    target: Place | BinaryIO | None = None,
) -> Outcome:
    """Restore a file's pictures one by one, each written while the next is computed."""
    of_one = RunObserver(lambda pixels, share: observer.progress(pixels, share / len(several)))

    def restore_one(picture: Picture) -> tuple[Outcome, Picture | None]:
        return _compute(job, picture, restorer, of_one)[:2]

    if several.is_animation:
        restorer.begin_series()
    finish, target = finisher and partial(finisher.finish, job), target or job.destination
    try:
        return restore_several(Outcome(job), several, target, options, restore_one, finish)
    finally:
        restorer.end_series()


def _too_large(source: object) -> ImageError:
    return ImageError(f"{source} is too large for this machine's memory.")


def _write_job(
    outcome: Outcome,
    picture: Picture,
    mask: np.ndarray | None,
    options: WriteOptions,
    gate: Gate,
    finisher: Finisher,
) -> Outcome:
    """Write one result to its place, with what its file takes over from the input's."""
    job, notes = outcome.job, []
    # First: where the result is, a later run takes the job for finished.
    if mask is not None and job.mask_out is not None:
        try:
            write_picture(Picture(mask), job.mask_out)
        except (DrcnetError, MemoryError) as error:
            gate.give_back(picture.pixels.nbytes)
            failure = error if isinstance(error, DrcnetError) else _too_large(job.mask_out)
            return replace(outcome, error=failure)

    write = partial(_write, outcome, picture, job.destination, options, gate)
    outcome = write(lambda whole: notes.extend(finisher.finish(job, whole)))
    return outcome if outcome.error else replace(outcome, notes=(*outcome.notes, *notes))


def _write(
    outcome: Outcome,
    picture: Picture,
    target: Place | BinaryIO,
    options: WriteOptions,
    gate: Gate,
    before_replace: Callable[[Path], None] | None = None,
) -> Outcome:
    """Encode and write one result."""
    destination = outcome.job.destination
    try:
        notes = write_picture(
            picture,
            target,
            format=options.format,
            quality=options.quality,
            strip_metadata=options.strip_metadata,
            background=options.background,
            before_replace=before_replace,
        )
    except DrcnetError as error:
        return replace(outcome, error=error)
    except MemoryError:
        return replace(outcome, error=_too_large(destination))
    except OSError as error:
        return replace(outcome, error=refusal(destination, error))
    finally:
        gate.give_back(picture.pixels.nbytes)
    return replace(outcome, notes=(*outcome.notes, *notes))
