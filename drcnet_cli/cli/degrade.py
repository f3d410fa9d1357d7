"""`drcnet degrade`: synthetic rain, noise and blur, to look at or to make pairs with."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from drcnet_cli.cli._options import JsonOption, QuietOption
from drcnet_cli.cli._output import note, print_json
from drcnet_cli.errors import EXIT_SOME_FAILED, UsageError
from drcnet_cli.tasks import TASKS

_PREVIEW_ROWS = 4

DegradationOption = Annotated[
    str | None,
    typer.Option("--task", "-t", metavar="rain|noise|blur", help="What to add; derain etc. too."),
]

PreviewOption = Annotated[
    Path | None,
    typer.Option("--preview", metavar="FILE.png", help="Write a contact sheet to look at."),
]
StreaksOption = Annotated[
    Path | None,
    typer.Option("--streaks", metavar="DIR", help="Rendered rain layers to draw from, too."),
]


def degrade(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="INPUT", help="Folder of clean photographs.", show_default=False),
    ] = None,
    destination: Annotated[
        Path | None,
        typer.Argument(metavar="OUT_DIR", help="Gets lq/ and gt/.", show_default=False),
    ] = None,
    task: DegradationOption = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="gaussian, camera, rain-light, ...; default: the task's mix."),
    ] = None,
    preview: PreviewOption = None,
    streaks: StreaksOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Other seed, other pictures.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo finished pairs.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add synthetic rain, noise or blur to clean photographs.

    With OUT_DIR, pairs; with --preview, a contact sheet (of drawn scenes where there is no INPUT).
    """
    chosen = choose_kind(task, kind)
    if destination is None and preview is None:
        raise UsageError(
            "Nothing says what to make.", "Add --preview sheet.png, or give IN_DIR and OUT_DIR"
        )
    if preview is not None:
        _preview(source, preview, chosen, streaks, seed, quiet)
    if source is not None and destination is not None:
        _make_pairs(source, destination, chosen, streaks, seed, overwrite, quiet, as_json)


def choose_kind(task: str | None, kind: str | None) -> str:
    """Give the kind of degradation that --task and --kind mean; raises UsageError."""
    from drcnet_cli.degrade import DEGRADATIONS, KINDS

    tasks = {name: name for name in TASKS} | {t.degradation: t.name for t in TASKS.values()}
    if task is not None and task not in tasks:
        raise UsageError(f"Unknown task {task!r}.", "Use --task rain, noise or blur")
    allowed = KINDS[tasks[task]] if task else tuple(DEGRADATIONS)
    if kind is not None and kind not in allowed:
        raise UsageError(f"Unknown kind {kind!r}.", f"Use --kind {', '.join(allowed)}")
    if task is None and kind is None:
        raise UsageError("Nothing says what to add.", "Add --task rain, noise or blur")
    return kind or allowed[0]


def _preview(
    source: Path | None, preview: Path, kind: str, streaks: Path | None, seed: int, quiet: bool
) -> None:
    """Write a contact sheet of a file, of some of a folder's pictures, or of drawn scenes."""
    from drcnet_cli.degrade.folder import read_some, write_png
    from drcnet_cli.degrade.preview import contact_sheet, drawn_scenes
    from drcnet_cli.train.synthetic import load_streaks

    if source is None:
        photographs = drawn_scenes(_PREVIEW_ROWS, seed=seed)
    else:
        photographs = read_some(source, _PREVIEW_ROWS, seed=seed)
    layers = load_streaks(streaks) if streaks else ()
    write_png(preview, contact_sheet(photographs, kind, seed=seed, streaks=layers))
    if not quiet:
        note(f"Wrote {preview}: {kind}, seed {seed}.")


def _make_pairs(
    source: Path,
    destination: Path,
    kind: str,
    streaks: Path | None,
    seed: int,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make pairs with progress; exit 1 if a picture failed."""
    from drcnet_cli.cli._progress import Bar
    from drcnet_cli.degrade.folder import make_pairs
    from drcnet_cli.train.synthetic import load_streaks

    layers = load_streaks(streaks) if streaks else ()
    with Bar(shown=not quiet) as progress:
        bar = progress.add_task(kind)
        made = make_pairs(
            source,
            destination,
            kind,
            seed=seed,
            streaks=layers,
            overwrite=overwrite,
            on_picture=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    for error in made.failed:
        note(f"Failed: {error.message} {error.hint}".rstrip())
    if as_json:
        print_json(
            {**asdict(made), "kind": kind, "seed": seed, "failed": [e.message for e in made.failed]}
        )
    elif not quiet:
        there = f", {made.skipped} already there" if made.skipped else ""
        note(f"{made.written} pairs in {destination} (lq, gt): {kind}, seed {seed}{there}.")
    if made.failed:
        raise typer.Exit(EXIT_SOME_FAILED)
