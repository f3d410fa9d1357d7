"""`drcnet compare`: pictures against pictures, as scores or as a page with sliders."""

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli._options import JsonOption, QuietOption
from drcnet_cli.cli._output import note, note_failed, print_json, stderr_console, stdout_console
from drcnet_cli.errors import EXIT_SOME_FAILED, DrcnetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drcnet_cli.evaluation.compare import Entry, Score


def compare(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="A picture or a folder.", show_default=False)
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other one.", show_default=False)],
    target: Annotated[
        Path | None, typer.Option("--target", metavar="T", help="What both should look like.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with sliders; no table then."),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Show the page in the browser.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", metavar="A,B[,T]", help="What to call them; default: as they are named."
        ),
    ] = None,
    pictures: Annotated[
        int,
        typer.Option("--pictures", min=1, metavar="N", help="Sliders on the page, evenly chosen."),
    ] = 12,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare pictures: PSNR and SSIM, or a page with a slider between them.

    Folders are matched by name. With --target both are scored against it, else A against B.
    """
    from drcnet_cli.evaluation.compare import match_entries, record

    paths = [path for path in (first, second, target) if path is not None]
    names = _labels(labels, paths)
    _check_page(html, open_page)
    matches = match_entries(first, second, target, names)
    for text in () if quiet else matches.notes():
        note(f"Note: {text}")
    scores, failed = _score(matches.entries, quiet)
    note_failed(failed)
    if html is not None and scores:
        left_out = [*matches.notes(), *(error.message for error in failed)]
        _write_page(html, scores, names, paths, left_out, min(pictures, len(scores)), quiet)
        if open_page:
            webbrowser.open(html.resolve().as_uri())
    if as_json:
        print_json(record(scores, names, matches, failed))
    elif scores and html is None:
        _print_table(scores, names, quiet)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _labels(given: str | None, paths: "Sequence[Path]") -> tuple[str, ...]:
    from drcnet_cli.evaluation.compare import choose_labels

    if given is None:
        return choose_labels(paths)
    labels = tuple(label.strip() for label in given.split(","))
    if len(set(labels)) != len(paths) or not all(labels) or len(labels) != len(paths):
        example = "Before,After,Target" if len(paths) == 3 else "Before,After"
        raise UsageError(
            f"--labels {given!r} are not {len(paths)} different names.", f"Use --labels {example}"
        )
    return labels


def _check_page(html: Path | None, open_page: bool) -> None:
    from drcnet_cli.report.html import check_page_path

    if html is not None:
        check_page_path(html)
    elif open_page:
        raise UsageError("--open has no page to show.", "Add --html FILE.html")


def _score(entries: "Sequence[Entry]", quiet: bool) -> "tuple[list[Score], list[DrcnetError]]":
    """Score with progress."""
    from drcnet_cli.cli._progress import Bar
    from drcnet_cli.evaluation.compare import score_entries

    with Bar(shown=not quiet and stderr_console().is_terminal) as bar:
        return score_entries(entries, bar.follow("Comparing", len(entries)))


def _write_page(
    path: Path,
    scores: "Sequence[Score]",
    labels: "Sequence[str]",
    paths: "Sequence[Path]",
    left_out: "Sequence[str]",
    shown: int,
    quiet: bool,
) -> None:
    from drcnet_cli.evaluation.pages import compared_blocks, compared_subtitle
    from drcnet_cli.report.html import write_page

    blocks = compared_blocks(scores, labels, paths, left_out, shown=shown)
    subtitle = compared_subtitle(scores, labels, bool(left_out), shown)
    write_page(path, f"{labels[0]} and {labels[1]}", blocks, subtitle=subtitle)
    if not quiet:
        note(f"Wrote {path}: {shown} of {len(scores)} compared pictures.")


def _print_table(scores: "Sequence[Score]", labels: "Sequence[str]", quiet: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from drcnet_cli.evaluation.pages import compared_table

    table = compared_table(scores, labels)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(table.header):
        shown.add_column(Text(name), justify="right" if place else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(Text, row))
    stdout_console().print(shown)
    if not quiet:
        note(table.caption)
