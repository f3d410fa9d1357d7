"""What a run tells: to a listener that shows it, to a JSON-lines file, and to TensorBoard."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from drcnet_cli.errors import UsageError
from drcnet_cli.files.atomic import atomic_write

LOG_NAME = "log.jsonl"


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


class Silence:
    """A listener for runs that nobody watches."""

    def note(self, text: str) -> None:
        """Drop it."""

    def progress(self, snapshot: Snapshot) -> None:
        """Drop them."""


class Journal:
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
