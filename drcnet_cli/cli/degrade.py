"""`drcnet degrade`: synthetic damage, to look at or to make pairs with."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli import _options as options
from drcnet_cli.cli._output import note, note_failed, print_json
from drcnet_cli.errors import EXIT_SOME_FAILED, UsageError
from drcnet_cli.tasks import TASKS, either, tasks_of_kind

if TYPE_CHECKING:
    from drcnet_cli.degrade.folder import MadePairs, PairPlan

_MIXES = [task.degradation for task in TASKS.values()]

DegradationOption = Annotated[
    str | None,
    typer.Option("--task", "-t", metavar="|".join(_MIXES), help="What to add; derain etc. too."),
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
        str | None,
        typer.Argument(
            metavar="INPUT", help="Folder of clean photographs, or its address.", show_default=False
        ),
    ] = None,
    destination: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUT_DIR", help="Gets lq/, gt/ and maybe mask/.", show_default=False
        ),
    ] = None,
    task: DegradationOption = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="gaussian, camera, rain-light, ...; default: the task's mix."),
    ] = None,
    preview: PreviewOption = None,
    streaks: StreaksOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Other seed, other pictures.")] = 0,
    suffix: options.SuffixOption = "",
    name: Annotated[
        str,
        typer.Option("--name", metavar="PATTERN", help="Names of pairs, as '{stem}_{task}{ext}'."),
    ] = "",
    keep_dates: options.KeepDatesOption = False,
    background: options.BackgroundOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo finished pairs.")] = False,
    update: options.UpdateOption = False,
    jobs: options.JobsOption = None,
    threads: options.ThreadsOption = None,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Add synthetic rain, noise, blur, haze, drops or shadows to clean photographs.

    With OUT_DIR, pairs; with --preview, a contact sheet (of drawn scenes where there is no INPUT).
    """
    from drcnet_cli.degrade import RAINY

    chosen = choose_kind(task, kind)
    if destination is None and preview is None:
        raise UsageError(
            "Nothing says what to make.", "Add --preview sheet.png, or give IN_DIR and OUT_DIR"
        )
    if destination is None and (suffix or name):
        raise UsageError(
            "--suffix and --name are for names in an output folder.", "Give IN_DIR and OUT_DIR"
        )
    if streaks is not None and not {*chosen.split("+")} & {*RAINY}:
        raise UsageError(f"--streaks is for rain, and {chosen} has none.", "Leave it out")
    from drcnet_cli.cli._folders import folder_here
    from drcnet_cli.cli._progress import Bar
    from drcnet_cli.degrade.folder import PairPlan, load_streaks, make_pairs
    from drcnet_cli.degrade.preview import write_sheet
    from drcnet_cli.files.naming import choose_rename
    from drcnet_cli.parallel.pool import runner

    colour = options.parse_background(background)
    known = {"task": "+".join(tasks_of_kind(chosen))}
    rename = choose_rename(name, suffix, lambda _: known)
    folder = folder_here(source, quiet)
    layers = load_streaks(streaks)
    if preview is not None:
        write_sheet(preview, folder, chosen, seed=seed, streaks=layers, background=colour)
        if as_json:
            print_json({"preview": str(preview), "kind": chosen, "seed": seed})
        elif not quiet:
            note(f"Wrote {preview}: {chosen}, seed {seed}.")
    if folder is None or destination is None:
        return
    plan = PairPlan(chosen, seed, layers, colour, rename, keep_dates, overwrite, update)
    with Bar(shown=not quiet) as bar:
        made = make_pairs(folder, destination, plan, run=runner(jobs), progress=bar.follow(chosen))
    _tell(made, destination, plan, quiet, as_json)


def _tell(
    made: "MadePairs", destination: Path, plan: "PairPlan", quiet: bool, as_json: bool
) -> None:
    """Print what was made; ends with the exit code for failed files if some failed."""
    for text in () if quiet else made.notes:
        note(f"Note: {text}")
    note_failed(made.failed)
    if as_json:
        failed = [error.message for error in made.failed]
        print_json({**asdict(made), "kind": plan.kind, "seed": plan.seed, "failed": failed})
    elif not quiet:
        there = f", {made.skipped} already there" if made.skipped else ""
        stale = f" ({made.stale} of them stale: --update redoes these)" if made.stale else ""
        what = f"{plan.kind}, seed {plan.seed}"
        note(f"{made.written} pairs in {destination} (lq, gt): {what}{there}{stale}.")
    if made.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def choose_kind(task: str | None, kind: str | None) -> str:
    """Return the kind of degradation that --task and --kind mean; raises UsageError."""
    from drcnet_cli.degrade import DEGRADATIONS, is_kind

    tasks = TASKS | {task.degradation: task for task in TASKS.values()}
    if task is not None and task not in tasks:
        raise UsageError(f"Unknown task {task!r}.", f"Use --task {either(_MIXES)}")
    allowed = tasks[task].kinds if task else tuple(DEGRADATIONS)
    several = task is None and kind is not None and is_kind(kind)  # rain+noise
    if kind is not None and kind not in allowed and not several:
        raise UsageError(f"Unknown kind {kind!r}.", f"Use --kind {', '.join(allowed)}")
    if task is None and kind is None:
        raise UsageError("Nothing says what to add.", f"Add --task {either(_MIXES)}")
    return kind or allowed[0]
