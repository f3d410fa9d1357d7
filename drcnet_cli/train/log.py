"""What a run tells of itself, and to whom: a listener, a JSON-lines file, TensorBoard."""

import json
import math
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from accelerate import Accelerator

from drcnet_cli.errors import UsageError
from drcnet_cli.files.atomic import atomic_write

LOG_NAME = "log.jsonl"
_SHOW_EVERY = 0.5  # seconds
_WINDOW = 10.0  # seconds that the speed is taken over


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment: rates per second, times in seconds, PSNR in dB."""

    step: int
    used: float
    loss: float
    learning_rate: float
    patch: int
    batch: int
    images_per_second: float
    elapsed: float
    remaining: float
    psnr: float | None
    best: float | None
    skipped: int


class Listener(Protocol):
    """Shows a run to a person."""

    def note(self, text: str) -> None:
        """Take one sentence."""
        ...

    def progress(self, snapshot: Snapshot) -> None:
        """Take the run's figures; called after every step."""
        ...


class NoListener:
    """For runs that nobody watches."""

    def note(self, text: str) -> None:
        """Drop it."""

    def progress(self, snapshot: Snapshot) -> None:
        """Drop them."""


class Meter:
    """Loss and speed since the last look, without making the device wait for each step.

    Losses are added up on the device; `close` makes them a mean over steps and processes.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss = float("nan")
        self.images = 0
        self._sum = torch.zeros((), device=device)
        self._count = torch.zeros((), device=device)
        self._shown = time.monotonic()
        self._marks = deque([(self._shown, 0)])  # times and images seen until then

    def add(self, loss: torch.Tensor) -> None:
        """Take in one step's loss."""
        self._sum += loss
        self._count += 1

    def close(self, accelerator: Accelerator) -> None:
        """Set `loss` to the mean since the last close; to be called in all processes at once."""
        both = accelerator.reduce(torch.stack([self._sum, self._count]), "sum")
        total, count = cast(torch.Tensor, both).tolist()
        self.loss = total / count if count else float("nan")
        self._sum.zero_()
        self._count.zero_()

    def stale(self) -> bool:
        """Tell whether it is time to show figures anew; sets `loss` from this process alone."""
        now = time.monotonic()
        if now - self._shown < _SHOW_EVERY:
            return False
        self._shown = now
        if count := float(self._count):
            self.loss = float(self._sum) / count
        return True

    def rate(self) -> float:
        """Return images per second, over the last seconds."""
        now = time.monotonic()
        while len(self._marks) > 1 and now - self._marks[1][0] > _WINDOW:
            self._marks.popleft()
        self._marks.append((now, self.images))
        since, images = self._marks[0]
        return (self.images - images) / (now - since) if now > since else 0.0

    def pause(self) -> None:
        """Leave the time until now, spent on something else, out of the speed."""
        self._marks = deque([(time.monotonic(), self.images)])


class RunLog:
    """The run's log in its folder: one JSON object a line, each with `event` and `step`.

    On resumption the lines past the resumed step are dropped: those steps are done anew.
    """

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = False) -> None:
        self._path = folder / LOG_NAME
        kept = [line for line in _lines(self._path) if line["step"] <= step] if step else []
        with atomic_write(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._board = _open_board(folder) if tensorboard else None

    def write(self, event: str, step: int, **values: Any) -> None:  # noqa: ANN401 - any JSON
        """Add one line; numbers go to TensorBoard, too. Non-finite numbers become null."""
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, "step": step, **finite}) + "\n")
        except OSError as error:
            error.filename = str(self._path)  # which a full disk does not say
            raise
        if self._board is None:
            return
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(f"{event}/{name}", value, step)

    def step(self, snapshot: Snapshot) -> None:
        """Add a line with a snapshot's figures."""
        values = asdict(snapshot)
        self.write("step", values.pop("step"), **values)

    def close(self) -> None:
        """Write out what TensorBoard still holds back."""
        if self._board:
            self._board.close()


def _lines(path: Path) -> list[dict[str, Any]]:
    """Read a log; a last line that a kill cut off is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def _open_board(folder: Path) -> Any:  # noqa: ANN401 - an optional package's class
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "TensorBoard is not installed.", "pip install 'drcnet[train]', or --no-tensorboard"
        ) from error
    return SummaryWriter(str(folder / "tensorboard"))
