"""Where output goes: data to stdout, progress, notes and errors to stderr."""

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

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
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Write one line on standard error; characters the terminal cannot show are escaped."""
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stderr.flush()


def fail(error: DrcnetError) -> NoReturn:
    """Print an error the one way that errors are printed, and end with its exit code."""
    if settings.debug():
        raise error
    note(f"Error: {error.message}")
    if error.hint:
        note(f"Hint: {error.hint}")
    sys.exit(error.exit_code)
