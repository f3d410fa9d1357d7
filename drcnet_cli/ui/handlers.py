"""What the page's parts do when they are used."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from PIL import Image

from drcnet_cli.errors import DrcnetError, import_extra
from drcnet_cli.imageio.folder import Pixels, read_for_display, write_png
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.restore.outcome import Outcome
from drcnet_cli.ui import NEEDED
from drcnet_cli.ui.store import Store
from drcnet_cli.ui.work import Wish, pack, plan_uploads, restore_uploads, say

gr: Any = import_extra("gradio", "ui", NEEDED)
if TYPE_CHECKING:
    from typing import Any as Progress
    from typing import Any as Request
else:  # Gradio goes by these annotations and defaults
    from gradio import Progress, Request

AS_INPUT = "as the input"
SHOWN_SIDE = 1600  # pixels of what the slider shows; what is downloaded is whole
_PROGRESS = gr.Progress()


@dataclass
class Run:
    """What came of one press of the button; its files lie in `folder`."""

    folder: Path
    stopped: threading.Event
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def restored(self) -> list[Outcome]:
        """Those that can be shown."""
        return [outcome for outcome in self.outcomes if not outcome.error]

    def pair(self, number: int) -> tuple[str, str]:
        """Return files that a browser shows: a restored picture before and after."""
        job, files = self.restored[number].job, []
        for part, path in (("before", job.source), ("after", job.destination)):
            files.append(self.folder / f"{number}-{part}.png")
            if not files[-1].exists():
                write_png(files[-1], _fitted(read_for_display(path)))
        return str(files[0]), str(files[1])


class Handlers:
    """Restores what visitors drop, and shows it; `base` says where and how to compute."""

    def __init__(self, base: RestoreConfig, store: Store, limit: int) -> None:
        self._base = base
        self._store = store
        self._limit = limit

    def note(self, paths: list[str] | str | None, request: Request) -> None:
        """Remember what was uploaded, to delete it."""
        listed = [paths] if isinstance(paths, str) else paths or []
        self._store.note_uploads(request.session_hash, map(Path, listed))

    def forget(self, request: Request) -> None:
        """Delete what a visitor left."""
        self._store.forget(request.session_hash)

    def stop(self, request: Request) -> None:
        """Stop what computes for a visitor."""
        self._store.stop(request.session_hash)

    def offer(self, run: Run | None) -> Any:  # noqa: ANN401 - gr.DownloadButton
        """Offer what was done until a run was stopped."""
        return _packed(run) if run and run.restored else gr.skip()

    def restore_all(
        self,
        paths: list[str] | None,
        task: str,
        weights: str | None,
        strength: float,
        format: str,
        keep_grain: float,
        request: Request,
        progress: Progress = _PROGRESS,
    ) -> Iterator[tuple[Any, ...]]:
        """Restore what was dropped; yield what the page shows of it, as it comes."""
        run = Run(*self._store.begin(request.session_hash))
        yield _nothing(run)
        seen = 0
        wish = _wish(task, weights, strength, format, keep_grain)
        for share, total in self._work(paths, wish, run):
            done = len(run.outcomes)
            progress((done, total), desc=f"{done} of {total}, this one {share:.0%}")
            if done > seen:
                first = len(run.restored) == 1 and not run.outcomes[-1].error
                yield _so_far(run, first)
                seen = done
        if run.restored:
            yield *_so_far(run, False)[:4], _packed(run), gr.skip()

    def restore(
        self, picture: str, task: str, strength: float, format: str, keep_grain: float = 0.0
    ) -> str:
        """Restore one picture for a program; return the result's file."""
        visitor = uuid4().hex
        run = Run(*self._store.begin(visitor))
        self._store.note_uploads(visitor, [Path(picture)] if picture else [])
        try:
            for _ in self._work(
                [picture] if picture else [],
                _wish(task, None, strength, format, keep_grain),
                run,
            ):
                pass
        finally:
            self._store.forget_uploads(visitor)
        if not run.restored:
            said = say(run.outcomes[0]) if run.outcomes else "The page has ended."
            raise gr.Error(said, print_exception=False)
        return str(run.restored[0].job.destination)

    def show(self, run: Run, number: int) -> tuple[Any, Any]:
        """Show one of the pictures that were restored, and offer it."""
        return run.pair(number), str(run.restored[number].job.destination)

    def _work(
        self, paths: Sequence[str] | None, wish: Wish, run: Run
    ) -> Iterator[tuple[float, int]]:
        """Restore uploads into a run; yield the current picture's share, and how many there are."""
        share = 0.0
        try:
            jobs = plan_uploads(list(map(Path, paths or [])), run.folder, self._limit, wish.format)
            for event in restore_uploads(jobs, wish.config(self._base), wish.format, run.stopped):
                if isinstance(event, Outcome):
                    run.outcomes.append(event)
                share = 0.0 if isinstance(event, Outcome) else min(share + event, 1.0)
                yield share, len(jobs)
        except DrcnetError as error:
            said = f"{error.message} {error.hint}".rstrip()
            raise gr.Error(said, print_exception=False) from error


def _wish(task: str, weights: str | None, strength: float, format: str, keep_grain: float) -> Wish:
    own = Path(weights) if weights else None
    return Wish(task, own, strength, None if format == AS_INPUT else format, keep_grain)


def _nothing(run: Run) -> tuple[Any, ...]:
    """Return what the page shows before the first picture is done."""
    empty = gr.DownloadButton(value=None, interactive=False)
    return run, None, gr.Dropdown(choices=[], value=None, visible=False), empty, empty, []


def _so_far(run: Run, first: bool) -> tuple[Any, ...]:
    """Return what the page shows of a run; its first picture is laid under the slider."""
    choices = [(o.job.destination.name, number) for number, o in enumerate(run.restored)]
    names = {"choices": choices, "visible": len(choices) > 1}
    rows = [[outcome.job.source.name, say(outcome)] for outcome in run.outcomes]
    if not first:
        return run, gr.skip(), gr.Dropdown(**names), gr.skip(), gr.skip(), rows
    result = str(run.restored[0].job.destination)
    one = gr.DownloadButton(value=result, interactive=True)
    return run, run.pair(0), gr.Dropdown(**names, value=0), one, gr.skip(), rows


def _packed(run: Run) -> Any:  # noqa: ANN401 - gr.DownloadButton
    """Put all results into one file to download."""
    places = [outcome.job.destination for outcome in run.restored]
    files = [place for place in places if isinstance(place, Path)]  # all of them
    return gr.DownloadButton(value=str(pack(files, run.folder / "restored.zip")), interactive=True)


def _fitted(pixels: Pixels) -> Pixels:
    """Scale a picture down to what a screen shows."""
    image = Image.fromarray(pixels)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    return np.asarray(image)
