"""Shows a training run: a live line in a terminal, now and then a plain line elsewhere."""

import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn

from drcnet_cli.cli._output import note, stderr_console
from drcnet_cli.text import printable
from drcnet_cli.train.log import Snapshot

_PLAIN_EVERY = 30.0  # seconds


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _figures(snapshot: Snapshot) -> str:
    """Give one line of figures."""
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
        self._live: Progress | None = None
        self._last = 0.0

    def __enter__(self) -> "TrainProgress":
        """Begin to show."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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

    def progress(self, snapshot: Snapshot) -> None:
        """Show the run's figures."""
        if self._quiet:
            return
        if self._console.is_terminal:
            self._show(snapshot)
        elif time.monotonic() - self._last >= _PLAIN_EVERY:
            self._last = time.monotonic()
            note(f"{100 * snapshot.used:.0f}%: {_figures(snapshot)}")

    def _show(self, snapshot: Snapshot) -> None:
        if self._live is None:
            columns = (
                BarColumn(bar_width=20),
                TextColumn("{task.percentage:>3.0f}% {task.description}", markup=False),
            )
            self._live = Progress(*columns, console=self._console)
            self._live.add_task("", total=1.0)
            self._live.start()
        share = min(1.0, snapshot.used)
        self._live.update(self._live.task_ids[0], completed=share, description=_figures(snapshot))
