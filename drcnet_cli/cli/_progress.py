"""Progress of a restore run: a live bar on a terminal, a plain line per file elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from drcnet_cli.cli._output import note, stderr_console
from drcnet_cli.text import printable

if TYPE_CHECKING:
    from drcnet_cli.restore.pipeline import Outcome


class Bar(Progress):
    """A bar on standard error that vanishes when it ends, and writes nothing unless `shown`."""

    def __init__(self, *columns: ProgressColumn, shown: bool) -> None:
        # Without columns of its own it has rich's.
        super().__init__(*columns, console=stderr_console(), disable=not shown, transient=True)

    def stop(self) -> None:
        """Take the bar away; rich before 15 ends even a disabled one with an empty line."""
        if not self.disable:
            super().stop()


class RestoreProgress:
    """Shows images, megapixels per second and the time left; a context manager."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._live = stderr_console().is_terminal and not quiet
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
            shown=self._live,
        )
        self._task = self._bar.add_task("", total=total, images=0, speed=0.0)

    def __enter__(self) -> "RestoreProgress":
        """Enter; nothing is shown before `begin`."""
        return self

    def begin(self) -> None:
        """Show the bar, and count time from now on."""
        self._started = time.perf_counter()
        self._bar.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
        if self._quiet:
            return
        line = self._line(outcome)
        if not self._live:
            note(line)
        elif outcome.error or outcome.notes:
            self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def _speed(self) -> float:
        return self._megapixels / max(time.perf_counter() - self._started, 1e-9)

    def _line(self, outcome: "Outcome") -> str:
        count = f"[{self._images}/{self._total}]"
        if outcome.error:
            return f"{count} {outcome.job.source}: failed"
        left = (time.perf_counter() - self._started) * (self._total / self._images - 1)
        notes = "".join(f"; {text}" for text in outcome.notes)
        return (
            f"{count} {outcome.job.destination}: {outcome.megapixels:.2f} MP in "
            f"{outcome.seconds:.1f} s, {self._speed():.2f} MP/s, {left:.0f} s left{notes}"
        )
