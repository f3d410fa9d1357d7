"""`drcnet convert`: a checkpoint of other code becomes a safetensors file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from drcnet_cli.cli._options import HalfOption, JsonOption
from drcnet_cli.cli._output import note, print_json
from drcnet_cli.errors import UsageError


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", show_default=False)],
    destination: Annotated[Path, typer.Argument(metavar="OUT.safetensors", show_default=False)],
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="DRCNet: response threshold t, 0 to 1; default: 0.8."),
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="DRCNet: delta of the energy attention; default: 0.0001.")
    ] = None,
    filter_levels: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST:LAST", help="DRCNet: levels with the spatial filter; default: 0:4."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name to store; default: the output's.")] = "",
    task: Annotated[str | None, typer.Option(help="What it removes, if known: derain, ...")] = None,
    patch: Annotated[
        int | None,
        typer.Option(
            min=8, max=65536, help="Training patch in pixels, if known: the default tile."
        ),
    ] = None,
    provenance: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=TEXT", help="A fact to store: licence=..., training_data=..."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="NAME", help="Where in IN the state dict is, if not found."),
    ] = None,
    half: HalfOption = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Convert a checkpoint of the released DRCNet or AirNet code, or of a trainer, to .safetensors.

    IN is a PyTorch file (.pth, .pt, .ckpt) or safetensors; its numbers keep their type. What a
    state dict of DRCNet's does not hold is given by options; defaults are the released code's.
    """
    from drcnet_cli.networks.convert import convert_file

    levels = _levels(filter_levels) if filter_levels is not None else None
    said: dict[str, Any] = {"threshold": threshold, "delta": delta, "filter_levels": levels}
    info = convert_file(
        source,
        destination,
        name=name,
        task=task,
        training_patch=patch,
        provenance=_facts(provenance or []),
        half=half,
        key=key,
        overwrite=overwrite,
        **{name: value for name, value in said.items() if value is not None},
    )
    if as_json:
        print_json({"file": str(destination), "name": info.name, "config": info.config.to_dict()})
    else:
        note(f"Wrote {destination}: {info.config.summary}.")


def _levels(text: str) -> tuple[int, int]:
    """Read FIRST:LAST; raise UsageError for anything else."""
    first, separator, last = text.partition(":")
    if separator and first.isdecimal() and last.isdecimal() and int(first) <= int(last):
        return int(first), int(last)
    raise UsageError(f"--filter-levels cannot be {text!r}.", "Use FIRST:LAST: 0:4")


def _facts(pairs: list[str]) -> dict[str, str]:
    """Read KEY=TEXT pairs; raise UsageError for anything else."""
    facts = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not key or not separator:
            raise UsageError("--provenance needs KEY=TEXT.", 'Use --provenance licence="CC BY 4.0"')
        facts[key] = text
    return facts
