"""The `drcnet` command: its sub-commands, and the one place where errors become exit codes."""

import signal
import sys
import warnings
from typing import Annotated

import typer

from drcnet_cli import settings
from drcnet_cli.cli import _output as output
from drcnet_cli.cli import (
    benchmark,
    calibrate,
    compare,
    convert,
    data,
    degrade,
    doctor,
    eval,
    export,
    restore,
    train,
    ui,
    weights,
)
from drcnet_cli.errors import EXIT_INTERRUPTED, EXIT_OK, DrcnetError
from drcnet_cli.version import __version__

app = typer.Typer(
    name="drcnet",
    help="Restore photographs: rain, noise, blur, haze, drops on the lens, several at once.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for first in (restore.restore, ui.ui, compare.compare):  # what most people want
    app.command(rich_help_panel="Start here")(first)
app.command("convert")(convert.convert)
app.command("export")(export.export)
app.command("doctor")(doctor.doctor)
app.command("eval")(eval.eval)
app.command("train")(train.train)
app.command("calibrate")(calibrate.calibrate)
app.command("benchmark")(benchmark.benchmark)
app.command("degrade")(degrade.degrade)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"drcnet {__version__}\n")
        raise typer.Exit(EXIT_OK)


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Restore photographs: rain, noise, blur, haze, drops on the lens, several at once."""


def main() -> None:
    """Run the command line; never returns."""
    output.open_streams()
    # Pillow warns, with lines of its source, of damage that the sentences here tell of.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    settings.share_processors()
    settings.keep_memory()
    # A polite kill is an interrupt: the same clean-up, the same exit code.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(standalone_mode=True)
    except DrcnetError as error:
        output.fail(error)
    except OSError as error:  # no module has a sentence for it, so the system's own
        if settings.debug():
            raise
        output.fail(output.unwritten(error))
    except KeyboardInterrupt:
        output.note("Interrupted.")
        sys.exit(EXIT_INTERRUPTED)
