"""`drcnet calibrate`: teach a checkpoint's encoder to tell what is wrong with a picture."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli._options import JsonOption, QuietOption, ThreadsOption
from drcnet_cli.cli._output import note, print_json, print_line
from drcnet_cli.errors import UsageError

if TYPE_CHECKING:
    from drcnet_cli.train.kinds import Accuracy

_CACHE_MB = 1024  # of photographs to learn from, and of those to measure on


def calibrate(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="A name of `drcnet weights list`, or a file.", show_default=False
        ),
    ],
    destination: Annotated[
        Path | None, typer.Argument(metavar="[OUT.safetensors]", show_default=False)
    ] = None,
    clean: Annotated[
        list[Path] | None, typer.Option("--clean", metavar="DIR", help="Clean photographs.")
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option("--kinds", metavar="KIND,...", help="What to tell apart: nothing,noise,haze."),
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="How long the encoder learns; 0: as it is.")
    ] = 10.0,
    holdout: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the photographs to measure on.")
    ] = 0.04,
    seed: Annotated[int, typer.Option(min=0, help="Other seed, other pictures.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Teach an AirNet's encoder to tell what is wrong with a picture, and measure it.

    Photographs held out of training are degraded in each kind, and how they are taken is printed.
    Without OUT, IN is only measured. Restored pictures stay the same.
    """
    if not clean:
        raise UsageError("Nothing says what to learn from.", "Add --clean DIR, of photographs")
    if destination is not None and destination.exists() and not overwrite:
        raise UsageError(f"{destination} exists already.", "Use --overwrite to replace it")
    from drcnet_cli.cli._progress import Bar
    from drcnet_cli.networks.checkpoint import load_checkpoint, save_checkpoint
    from drcnet_cli.train.cache import PictureCache
    from drcnet_cli.train.data import name_some, photographs
    from drcnet_cli.train.holdout import hold_out
    from drcnet_cli.train.kinds import DEFAULT_KINDS, measure_kinds, teach_kinds
    from drcnet_cli.weights.fetch import resolve

    network, info = load_checkpoint(resolve(source).path)
    names = tuple(kinds.split(",")) if kinds else DEFAULT_KINDS
    training, held = (
        PictureCache([path for _, path in part], _CACHE_MB)
        for part in hold_out(photographs(clean), holdout, lambda item: item[0])
    )
    if destination is not None:
        with Bar(shown=not quiet) as bar:
            info = teach_kinds(
                network,
                info,
                training,
                names,
                minutes=minutes,
                seed=seed,
                progress=bar.follow("learning"),
            )
        save_checkpoint(destination, network.state_dict(), info)
    accuracy = measure_kinds(network, info, held, names)
    if accuracy.trials:
        _print(accuracy, as_json)
    elif not quiet:
        note("Note: nothing was measured, as no photograph is held out: give more of them.")
    if left_out := [*training.left_out(), *held.left_out()]:
        note(f"{len(left_out)} pictures could not be used and were left out: {name_some(left_out)}")
    if destination is not None and not quiet:
        note(f"Wrote {destination}: {len(names)} kinds, {len(training)} photographs.")


def _print(accuracy: "Accuracy", as_json: bool) -> None:
    """Print how held pictures of each kind were taken, a line or a record each."""
    for kind in dict.fromkeys(trial.kind for trial in accuracy.trials):
        exact, right = accuracy.of(kind)
        taken = Counter(trial.taken_for for trial in accuracy.trials if trial.kind == kind)
        if as_json:
            print_json({"kind": kind, "exact": exact, "right_task": right, "taken_for": taken})
        else:
            others = [f"{name} {count}" for name, count in taken.most_common(4) if name != kind]
            print_line(kind, f"{exact:.1%}", f"{right:.1%}", ", ".join(others))
    exact, right = accuracy.overall
    if not as_json:
        print_line("all", f"{exact:.1%}", f"{right:.1%}", "exact, and the right task")
