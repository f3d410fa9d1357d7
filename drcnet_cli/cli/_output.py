"""Where output goes: data to stdout, progress, notes and errors to stderr."""

import json
import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from drcnet_cli import settings
from drcnet_cli.errors import EXIT_UNREAD, DrcnetError
from drcnet_cli.text import printable

if TYPE_CHECKING:
    from rich.console import Console


def stdout_console() -> "Console":
    """Return a console for tables on standard output."""
    from rich.console import Console

    return Console(highlight=False)


def stderr_console() -> "Console":
    """Return a console for progress and notes on standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def leave_at_once(code: int) -> NoReturn:
    """End the process without the interpreter's own end, for one of several that trained together.

    DistributedDataParallel keeps torch's group of processes, and its threads, for ever. One that
    lets go of a tensor of Python's while the interpreter ends takes the process down with it
    ("terminate called without an active exception"), though all was done and saved.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def print_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    numbers: Collection[int] = (),
    whole: Collection[int] = (),
    bold: Collection[int] = (),
) -> None:
    """Write a table on standard output; one with a title has lines.

    `numbers`: columns that end flush; `whole`: ones that never wrap; `bold`: rows that stand out.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text  # brackets in a plain cell would be taken for markup

    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=box.HEAVY_HEAD if title else None,
        pad_edge=bool(title),
        header_style="bold",
    )
    for place, name in enumerate(header):
        side = "right" if place in numbers else "left"
        table.add_column(Text(name), justify=side, no_wrap=place in whole, overflow="fold")
    for place, cells in enumerate(rows):
        table.add_row(*map(Text, cells), style="bold" if place in bold else "")
    stdout_console().print(table)


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON holds anything
    """Write one JSON value as one line on standard output, at once.

    Infinity and NaN, which JSON lacks, become null.
    """
    value = _finite(value)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a name that is no text, or a console that lacks its letters
        text = json.dumps(value)
    _write_line(sys.stdout, text)


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
    """Return a JSON value with null for numbers that are infinite or none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def print_line(*fields: str) -> None:
    """Write one line of data on standard output, fields parted by tabs, each `printable`."""
    _write_line(sys.stdout, "\t".join(map(printable, fields)))


def note(text: str) -> None:
    """Write one line on standard error, all of it `printable`."""
    _write_line(sys.stderr, printable(text))


def note_failed(errors: Iterable[DrcnetError]) -> None:
    """Write a line for each error on standard error: what failed, and what to type."""
    for error in errors:
        note(f"Failed: {error.message} {error.hint}".rstrip())


def notifier(quiet: bool) -> Callable[[str], None]:
    """Return what writes a library's remarks as notes, or nothing where they are not wanted."""
    return (lambda _: None) if quiet else (lambda text: note(f"Note: {text}"))


def _write_line(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError as error:
        end_unwritten(stream, error)


def end_unwritten(stream: TextIO, error: OSError) -> NoReturn:
    """End because a standard stream takes no more: quietly where its reader (`| head`) has gone.

    Raises DrcnetError where standard output cannot be written otherwise, as on a full disk.
    """
    _lead_nowhere(stream)
    if stream is sys.stderr or isinstance(error, BrokenPipeError):
        sys.exit(EXIT_UNREAD)
    raise unwritten(error) from error


def open_streams() -> None:
    """Open standard streams for what was started without them (`2>&-`); they lead nowhere.

    Else the first files opened would take their numbers, and get what C libraries say.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:  # standard error is the last
        os.set_inheritable(descriptor, True)
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def unwritten(error: OSError) -> DrcnetError:
    """Turn what no command expected, such as results sent to a full disk, into a sentence."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        return DrcnetError(f"{error.filename}: {reason}.")
    _lead_nowhere(sys.stdout)
    return DrcnetError(
        f"The output cannot be written: {reason}.", "Make room, or send it elsewhere."
    )


def _lead_nowhere(stream: TextIO) -> None:
    """Let a stream end in the null device: what is left to flush at the end would fail again."""
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
