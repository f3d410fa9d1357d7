"""`drcnet compare`: pictures against pictures, as scores or as a page with sliders."""

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from drcnet_cli.cli import _options as options
from drcnet_cli.cli._output import note, note_failed, print_json, print_table, stderr_console
from drcnet_cli.errors import EXIT_SOME_FAILED, UsageError


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
        int | None,
        typer.Option(
            "--pictures",
            min=1,
            metavar="N",
            help="Sliders on the page, evenly chosen; 12 unless given.",
        ),
    ] = None,
    background: options.BackgroundOption = None,
    jobs: options.JobsOption = None,
    threads: options.ThreadsOption = None,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Compare pictures: PSNR and SSIM, or a page with a slider between them.

    Folders are matched by name. With --target both are scored against it, else A against B.
    """
    from drcnet_cli.cli._progress import Bar
    from drcnet_cli.evaluation import pages
    from drcnet_cli.evaluation.compare import match_entries, record, score_entries
    from drcnet_cli.parallel.pool import runner
    from drcnet_cli.report.html import check_page_path
    from drcnet_cli.report.pages import PICTURES_SHOWN

    colour = options.parse_background(background)
    paths = [path for path in (first, second, target) if path is not None]
    names = _labels(labels, paths)
    if html is not None:
        check_page_path(html)
    elif open_page or pictures is not None:
        option = "--open" if open_page else "--pictures"
        raise UsageError(f"{option} is for a page, and none is asked for.", "Add --html FILE.html")
    matches = match_entries(first, second, target, names)
    for text in () if quiet else matches.notes():
        note(f"Note: {text}")
    with Bar(shown=not quiet and stderr_console().is_terminal) as bar:
        follow = bar.follow("Comparing")
        scores, failed = score_entries(matches.entries, follow, background=colour, run=runner(jobs))
    note_failed(failed)
    if html is not None and scores:
        left_out = [*matches.notes(), *(error.message for error in failed)]
        shown = min(pictures or PICTURES_SHOWN, len(scores))
        pages.write_compared(html, scores, names, paths, left_out, shown=shown, background=colour)
        if not quiet:
            note(f"Wrote {html}: {shown} of {len(scores)} compared pictures.")
        if open_page:
            webbrowser.open(html.resolve().as_uri())
    if as_json:
        print_json(record(scores, names, matches, failed))
    elif scores and html is None:
        table = pages.compared_table(scores, names)
        print_table(table.header, table.rows, numbers=range(1, len(table.header)))
        if not quiet:
            note(table.caption)
    if failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _labels(given: str | None, paths: Sequence[Path]) -> tuple[str, ...]:
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
