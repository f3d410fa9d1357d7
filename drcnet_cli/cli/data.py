"""`drcnet data`: make training data ready."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from drcnet_cli.cli import _options as options
from drcnet_cli.cli._output import note, print_json
from drcnet_cli.errors import EXIT_SOME_FAILED

app = typer.Typer(help="Make training data ready.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Make training data ready."""


@app.command("prepare")
def prepare(
    source: Annotated[Path, typer.Argument(metavar="SRC", show_default=False)],
    destination: Annotated[Path, typer.Argument(metavar="DST", show_default=False)],
    size: Annotated[int, typer.Option(help="Side of a crop in pixels.")] = 512,
    stride: Annotated[int, typer.Option(help="Pixels from one crop to the next.")] = 384,
    shrink: Annotated[
        int, typer.Option(help="Shrink by this number first: 2 frees JPEGs of their faint noise.")
    ] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace crops in DST.")] = False,
    background: options.BackgroundOption = None,
    threads: options.ThreadsOption = None,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Cut the pictures of a folder into crops (PNG) that training reads fast.

    For pairs, run it on both folders with the same sizes: the crops' names match again.
    """
    from drcnet_cli.cli._progress import Bar
    from drcnet_cli.train.prepare import THREADS, CropPlan, prepare_folder

    with Bar(shown=not quiet) as bar:
        result = prepare_folder(
            source,
            destination,
            CropPlan(size, stride, shrink),
            overwrite=overwrite,
            background=options.parse_background(background),
            threads=threads or THREADS,
            progress=bar.follow(source.name),
        )
    for error in result.failed:
        note(f"Left out: {error.message}")
    if as_json:
        print_json({**asdict(result), "failed": [error.message for error in result.failed]})
    elif not quiet:
        note(f"{result.pictures} pictures: {result.written} crops in {destination}")
    if result.failed:
        raise typer.Exit(EXIT_SOME_FAILED)
