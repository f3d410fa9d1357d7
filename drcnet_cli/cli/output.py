"""Where output goes: data to stdout, progress, notes and errors to stderr."""

import json
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from drcnet_cli import settings
from drcnet_cli.errors import DrcnetError

if TYPE_CHECKING:
    from rich.console import Console


def stdout_console() -> "Console":
    """Give a console for tables on standard output."""
    from rich.console import Console

    return Console(highlight=False)


def stderr_console() -> "Console":
    """Give a console for progress and notes on standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON holds anything
    """Write one JSON value as one line on standard output, at once."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a name that is no text, or a console that lacks its letters
        text = json.dumps(value)
    _write_line(sys.stdout, text)


def print_line(text: str) -> None:
    """Write one line of data on standard output; what it cannot show is escaped."""
    _write_line(sys.stdout, text)


def note(text: str) -> None:
    """Write one line on standard error; characters the terminal cannot show are escaped."""
    _write_line(sys.stderr, text)


def _write_line(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def unwritten(error: OSError) -> DrcnetError:
    """Turn what no command expected, such as results sent to a full disk, into a sentence."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        return DrcnetError(f"{error.filename}: {reason}.")
    # What is still to be written out when the process ends would fail once more, with a traceback.
    _silence(sys.stdout)
    return DrcnetError(
        f"The output cannot be written: {reason}.", "Make room, or send it elsewhere."
    )


def _silence(stream: TextIO) -> None:
    """Let a stream end in the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
    finally:
        os.close(null)


def fail(error: DrcnetError) -> NoReturn:
    """Print an error the one way that errors are printed, and end with its exit code."""
    if settings.debug():
        raise error
    note(f"Error: {error.message}")
    if error.hint:
        note(f"Hint: {error.hint}")
    sys.exit(error.exit_code)
