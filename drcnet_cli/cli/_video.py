"""What `drcnet restore` does with videos, and the progress of their frames."""

import time
from typing import TYPE_CHECKING

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from drcnet_cli.cli._output import note, notifier, print_json, stderr_console
from drcnet_cli.cli._progress import PLAIN_EVERY, Bar
from drcnet_cli.errors import EXIT_INTERRUPTED
from drcnet_cli.text import printable

if TYPE_CHECKING:
    from drcnet_cli.cli._restore_report import RunOutput
    from drcnet_cli.files.plan import Job
    from drcnet_cli.progress import Progress
    from drcnet_cli.restore.config import RestoreConfig
    from drcnet_cli.restore.outcome import Outcome, WriteOptions
    from drcnet_cli.restore.restorer import RestorerFacts


def restore_shown(
    jobs: "list[Job]",
    config: "RestoreConfig",
    written: "WriteOptions",
    crf: int | None,
    output: "RunOutput",
    *,
    begins: bool,
    spread: bool,
) -> "tuple[list[Outcome], RestorerFacts | None]":
    """Restore videos with progress, a line each; exit 130 if interrupted.

    `begins`: nothing was restored, nor said of the run, before. `spread`: pictures go to several
    processes, which is said not to be so here.
    """
    from drcnet_cli.restore.outcome import RunObserver
    from drcnet_cli.video.restore import restore_videos

    tell = notifier(output.quiet)
    if spread:
        tell("Videos are restored one after the other, by one process on one device.")
    with VideoProgress(len(jobs), quiet=output.quiet) as shown:

        def finished(outcome: "Outcome") -> None:
            shown.finished(outcome)
            if output.as_json:
                print_json(outcome.record())

        def opened(facts: "RestorerFacts") -> None:
            if begins:
                output.introduce(facts, config.devices()[:1])
                output.list_skipped()

        observer = RunObserver(finished=finished, opened=opened, note=tell)
        try:
            outcomes = restore_videos(jobs, config, written, observer, shown.follow, crf)
        except KeyboardInterrupt:
            shown.stop()
            note(
                "Interrupted: finished files are whole; the same command goes on from here, "
                "and begins the video under way anew."
            )
            raise typer.Exit(EXIT_INTERRUPTED) from None
    return list(outcomes), observer.facts


class VideoProgress:
    """Shows the frames done of each video and the time left; a context manager."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._done = 0
        self._live = stderr_console().is_terminal and not quiet
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("frames"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            shown=self._live,
        )

    def __enter__(self) -> "VideoProgress":
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self.stop()

    def stop(self) -> None:
        """Remove the bar, so that lines can be printed."""
        self._bar.stop()

    def follow(self, job: "Job") -> "Progress":
        """Return what a video's frames are told to, done and in all."""
        if self._live:
            for row in self._bar.task_ids:
                self._bar.remove_task(row)
            return self._bar.follow(printable(job.source.name))
        started = said = time.perf_counter()

        def tell(done: int, total: int) -> None:
            nonlocal said
            now = time.perf_counter()
            if self._quiet or now - said < PLAIN_EVERY:
                return
            said = now
            speed = done / (now - started)
            left = f" of {total}, {(total - done) / speed:.0f} s left" if total > done else ""
            note(f"{job.source}: frame {done}{left}, {speed:.2f} frames/s")

        return tell

    def finished(self, outcome: "Outcome") -> None:
        """Show what is to be said of a finished video."""
        self._done += 1
        if not self._quiet:
            self._bar.say(self._line(outcome), kept=bool(outcome.error or outcome.notes))

    def _line(self, outcome: "Outcome") -> str:
        count = f"[{self._done}/{self._total}]"
        if outcome.error:
            return f"{count} {outcome.job.source}: failed"
        frames, seconds = outcome.record()["frames"], outcome.seconds
        notes = "".join(f"; {text}" for text in outcome.notes)
        speed = frames / max(seconds, 1e-9)
        return (
            f"{count} {outcome.job.destination}: {frames} frames in {seconds:.1f} s, "
            f"{speed:.2f} frames/s{notes}"
        )
