"""Progress of long work: a live bar on a terminal, plain lines elsewhere."""

import time
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from drcnet_cli.cli._output import note, stderr_console
from drcnet_cli.text import printable

if TYPE_CHECKING:
    from drcnet_cli.progress import Progress
    from drcnet_cli.restore.outcome import Outcome
    from drcnet_cli.train.log import Snapshot

PLAIN_EVERY = 30.0  # seconds between two lines where no bar is shown


class Bar(RichProgress):
    """A bar on standard error that vanishes when it ends, and writes nothing unless `shown`."""

    def __init__(self, *columns: ProgressColumn, shown: bool) -> None:
        # Without columns of its own it has rich's.
        super().__init__(*columns, console=stderr_console(), disable=not shown, transient=True)

    def follow(self, label: str, total: int | None = None) -> "Progress":
        """Add a row for some work; return what the work tells how far it has come."""
        row = self.add_task(label, total=total)
        return lambda done, total: self.update(row, completed=done, total=total)

    def say(self, line: str, *, kept: bool) -> None:
        """Write a line above the bar, if it is to be kept; without a bar, every line."""
        if self.disable:
            note(line)
        elif kept:
            self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Take the bar away; rich before 15 ends even a disabled one with an empty line."""
        if not self.disable:
            super().stop()


class RestoreProgress:
    """Shows images, megapixels per second and the time left; a context manager."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._started = time.perf_counter()
        self._megapixels = 0.0
        self._images = 0
        self._bar = Bar(
            TextColumn("{task.fields[images]}/{task.total:.0f} images"),
            BarColumn(),
            TextColumn("{task.fields[speed]:.2f} MP/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            shown=stderr_console().is_terminal and not quiet,
        )
        self._task = self._bar.add_task("", total=total, images=0, speed=0.0)

    def __enter__(self) -> "RestoreProgress":
        """Enter; nothing is shown before `begin`."""
        return self

    def begin(self) -> None:
        """Show the bar, and count time from now on."""
        self._started = time.perf_counter()
        self._bar.start()

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self.stop()

    def stop(self) -> None:
        """Remove the bar, so that lines can be printed."""
        self._bar.stop()

    def advance(self, megapixels: float, share: float) -> None:
        """Count megapixels just computed, `share` of one image."""
        self._megapixels += megapixels
        self._bar.update(self._task, advance=share, speed=self._speed())

    def finished(self, outcome: "Outcome") -> None:
        """Count one finished file and show what is to be said of it."""
        self._images += 1
        if outcome.error and not outcome.megapixels:  # never computed, so never advanced
            self._bar.update(self._task, advance=1)
        self._bar.update(self._task, images=self._images)
        if not self._quiet:
            self._bar.say(self._line(outcome), kept=bool(outcome.error or outcome.notes))

    def _speed(self) -> float:
        return self._megapixels / max(time.perf_counter() - self._started, 1e-9)

    def _line(self, outcome: "Outcome") -> str:
        count = f"[{self._images}/{self._total}]"
        if outcome.error:
            return f"{count} {outcome.job.source}: failed"
        left = (time.perf_counter() - self._started) * (self._total / self._images - 1)
        notes = "".join(f"; {text}" for text in outcome.notes)
        several = f"{outcome.pictures} pictures, " if outcome.pictures > 1 else ""
        return (
            f"{count} {outcome.job.destination}: {several}{outcome.megapixels:.2f} MP in "
            f"{outcome.seconds:.1f} s, {self._speed():.2f} MP/s, {left:.0f} s left{notes}"
        )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _figures(snapshot: "Snapshot") -> str:
    """Write one line of figures."""
    parts = [
        f"step {snapshot.step}",
        f"loss {snapshot.loss:.4f}",
        f"{snapshot.images_per_second:.1f} images/s",
        f"patch {snapshot.patch}x{snapshot.batch}",
        f"ETA {_duration(snapshot.remaining)}",
    ]
    if snapshot.psnr is not None:
        parts.insert(2, f"PSNR {snapshot.psnr:.2f} dB")
    if snapshot.skipped:
        parts.append(f"{snapshot.skipped} skipped")
    return ", ".join(parts)


class TrainProgress:
    """The listener of `drcnet train`; writes to standard error alone."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._console = stderr_console()
        self._live: RichProgress | None = None
        self._last = 0.0

    def __enter__(self) -> "TrainProgress":
        """Begin to show."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last figures on the screen."""
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Show one sentence."""
        if self._quiet:
            return
        if self._live is None:
            note(text)
        else:
            self._live.console.print(printable(text), markup=False)

    def progress(self, snapshot: "Snapshot") -> None:
        """Show the run's figures."""
        if self._quiet:
            return
        if self._console.is_terminal:
            self._show(snapshot)
        elif time.monotonic() - self._last >= PLAIN_EVERY:
            self._last = time.monotonic()
            note(f"{100 * snapshot.used:.0f}%: {_figures(snapshot)}")

    def _show(self, snapshot: "Snapshot") -> None:
        if self._live is None:
            columns = (
                BarColumn(bar_width=20),
                TextColumn("{task.percentage:>3.0f}% {task.description}", markup=False),
            )
            self._live = RichProgress(*columns, console=self._console)
            self._live.add_task("", total=1.0)
            self._live.start()
        share = min(1.0, snapshot.used)
        self._live.update(self._live.task_ids[0], completed=share, description=_figures(snapshot))
