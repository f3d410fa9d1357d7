"""Videos restored: each frame by itself, by the restorer that pictures have.

Frames are read, restored and written one after the other, so that a video of any length takes the
same memory. The result gets its name when it is whole: what is interrupted starts over.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from drcnet_cli.errors import DrcnetError, ImageError
from drcnet_cli.files.addresses import Address
from drcnet_cli.files.atomic import atomic_write, refusal
from drcnet_cli.files.finisher import Finisher, open_finisher
from drcnet_cli.files.plan import Job
from drcnet_cli.files.remote import fetch_file, write_file
from drcnet_cli.files.writable import write_refusal
from drcnet_cli.progress import Progress
from drcnet_cli.restore.config import RestoreConfig, open_restorer
from drcnet_cli.restore.outcome import Outcome, RunObserver, WriteOptions
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.video.frames import Look, look_at, read_rgb
from drcnet_cli.video.library import Frame, load_av
from drcnet_cli.video.names import container_of
from drcnet_cli.video.source import Source, open_source
from drcnet_cli.video.target import Target, open_target

DEFAULT_CRF = 18  # of x264's 0 to 51: what most people cannot tell from the original


@dataclass(frozen=True)
class VideoOutcome(Outcome):
    """What became of one video; `megapixels` and `seconds` are those of all its `frames`."""

    frames: int = 0

    def record(self) -> dict[str, Any]:
        """Return the JSON record of this file."""
        return super().record() | {"frames": self.frames}


def restore_videos(
    jobs: Sequence[Job],
    config: RestoreConfig,
    options: WriteOptions,
    observer: RunObserver,
    follow: Callable[[Job], Progress],
    crf: int | None = None,
) -> list[VideoOutcome]:
    """Restore videos one after the other, on the first of the devices; return their outcomes.

    `crf`: the encoder's quality, None: the usual one. `follow` returns what is told of a video's
    frames, done and in all. A full disk ends the run. Raises DrcnetError if what is to restore
    cannot be had.
    """
    load_av()
    restorer = open_restorer(replace(config, device=config.devices()[0]), observer.note)
    observer.opened(restorer.facts())
    outcomes: list[VideoOutcome] = []
    quality = DEFAULT_CRF if crf is None else crf
    with open_finisher(options.recipe, options.keep_dates) as finisher:
        for job in jobs:
            finisher.begin(job)
            run = _Run(job, restorer, options, quality, finisher, follow(job))
            outcomes.append(run.outcome())
            observer.finished(outcomes[-1])
            if outcomes[-1].disk_refused:
                break
    observer.facts = restorer.facts()
    return outcomes


@dataclass
class _Run:
    """One video on its way; `done` is what has come of it so far."""

    job: Job
    restorer: Restorer
    options: WriteOptions
    crf: int
    finisher: Finisher
    progress: Progress

    def __post_init__(self) -> None:
        self.done = VideoOutcome(self.job, strength=self.restorer.strength)
        self.notes: list[str] = []
        self.remarks: dict[str, int] = {}  # of frames, and how many

    def outcome(self) -> VideoOutcome:
        """Restore the video; an error of this package's is a part of the outcome."""
        error: DrcnetError | None = None
        try:
            self._restore()
        except DrcnetError as caught:
            error = caught
        except load_av().FFmpegError as caught:
            reason = OSError(caught.errno, caught.strerror)
            error = refusal(self.job.destination, reason)
        except OSError as caught:
            error = refusal(self.job.destination, caught)
        except MemoryError:
            error = ImageError(f"{self.job.source} has frames too large for this machine's memory.")
        for remark, count in self.remarks.items():
            self.notes.append(f"{remark} ({count} frame{'s' if count > 1 else ''})")
        return replace(self.done, notes=tuple(self.notes), error=error)

    def _restore(self) -> None:
        format = container_of(self.job.destination)
        if (error := write_refusal(self.job.destination)) is not None:
            raise error
        with (
            _local(self.job, self._finish) as (path, whole),
            open_source(path, str(self.job.source)) as source,
        ):
            self._copy_restored(source, whole, format)

    def _copy_restored(self, source: Source, whole: Path, format: str) -> None:
        """Go through a video once: restore its picture, copy the rest."""
        early = []  # packets of other streams before the first frame, which says how to write
        self.restorer.begin_series()
        with open_target(whole, format, source) as container:
            target: Target | None = None
            look: Look | None = None
            for packet in source.packets():
                if packet.stream is not source.video:
                    target.copy(packet) if target else early.append(packet)
                    continue
                for frame in source.decode(packet):
                    if target is None or look is None:
                        look = self._look(frame)
                        target = Target(
                            container, source, look, self.crf, self.options.strip_metadata
                        )
                        for earlier in early:
                            target.copy(earlier)
                    self._check_size(frame, look)
                    target.write(frame, self._restored(frame, look))
                    self.progress(self.done.frames, max(source.total, self.done.frames))
            if target is not None:
                target.finish()
                self.progress(self.done.frames, self.done.frames)
                self.notes += target.notes
        if source.lost:
            self.notes.append(f"{source.lost} frames before the first whole one left out")

    def _look(self, frame: Frame) -> Look:
        try:
            return look_at(frame)
        except ImageError as error:
            raise ImageError(f"{self.job.source} {error.message}", error.hint) from error

    def _check_size(self, frame: Frame, look: Look) -> None:
        if (frame.width, frame.height) != (look.width, look.height):
            raise ImageError(
                f"{self.job.source} changes its size behind frame {self.done.frames}, from "
                f"{look.width} x {look.height} to {frame.width} x {frame.height} pixels.",
                "Cut it there, and restore its parts",
            )

    def _restored(self, frame: Frame, look: Look) -> list[np.ndarray]:
        """Restore a frame's picture, or its two fields, and count it."""
        started = time.perf_counter()
        pictures = []
        for pixels in read_rgb(frame, look):
            try:
                pictures.append(self.restorer.restore(pixels))
            except ImageError as error:
                where = f"{self.job.source}, frame {self.done.frames + 1}"
                raise ImageError(f"{where}: {error.message}", error.hint) from error
            if remark := self.restorer.remark():
                self.remarks[remark] = self.remarks.get(remark, 0) + 1
        self.done = replace(
            self.done,
            megapixels=self.done.megapixels + frame.width * frame.height / 1e6,
            seconds=self.done.seconds + time.perf_counter() - started,
            frames=self.done.frames + 1,
            damage=self.done.damage or self.restorer.damage(),
            keep_grain=self.restorer.keep_grain,
        )
        return pictures

    def _finish(self, whole: Path) -> None:
        self.notes += self.finisher.finish(self.job, whole)


@contextmanager
def _local(job: Job, finish: Callable[[Path], None]) -> Iterator[tuple[Path, Path]]:
    """Yield paths of this machine to read a job's video from and to write it to."""
    with tempfile.TemporaryDirectory(prefix="drcnet-video-") as name:
        source = job.source
        if isinstance(source, Address):
            fetch_file(source, source := Path(name) / "in")
        if isinstance(job.destination, Address):
            yield source, Path(name) / "out"
            write_file(job.destination, Path(name) / "out")
        else:
            with atomic_write(job.destination, finish) as whole:
                yield source, whole
