"""`drcnet convert`: a checkpoint of other code becomes a safetensors file."""

from pathlib import Path
from typing import Annotated

import typer

from drcnet_cli.cli._options import HalfOption, JsonOption
from drcnet_cli.cli._output import note, print_json
from drcnet_cli.errors import UsageError


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", show_default=False)],
    destination: Annotated[Path, typer.Argument(metavar="OUT.safetensors", show_default=False)],
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Response threshold t, 0 to 1.")
    ] = 0.8,
    delta: Annotated[float, typer.Option(help="Delta of the energy attention.")] = 1e-4,
    filter_levels: Annotated[
        str, typer.Option(metavar="FIRST:LAST", help="Levels with the spatial filter.")
    ] = "0:4",
    name: Annotated[str, typer.Option(help="Name to store; default: the output's.")] = "",
    task: Annotated[str | None, typer.Option(help="derain, denoise or deblur, if known.")] = None,
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
    float32: Annotated[bool, typer.Option("--float32", hidden=True)] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Convert a checkpoint of the released DRCNet code, or of a trainer, to .safetensors.

    IN is a PyTorch file (.pth, .pt, .ckpt) or safetensors; its numbers keep their type. What a
    state dict does not hold is given by options; their defaults are the released code's.
    """
    from drcnet_cli.networks.convert import convert_file

    if half and float32:  # the latter is accepted as it once was needed
        raise UsageError("--half and --float32 name two types.", "Leave out either")
    first, separator, last = filter_levels.partition(":")
    is_range = separator and first.isdecimal() and last.isdecimal() and int(first) <= int(last)
    if not is_range:
        raise UsageError(f"--filter-levels cannot be {filter_levels!r}.", "Use FIRST:LAST: 0:4")
    info = convert_file(
        source,
        destination,
        threshold=threshold,
        delta=delta,
        filter_levels=(int(first), int(last)),
        name=name,
        task=task,
        training_patch=patch,
        provenance=_facts(provenance or []),
        half=half,
        key=key,
        overwrite=overwrite,
    )
    if as_json:
        print_json({"file": str(destination), "name": info.name, "config": info.config.to_dict()})
    else:
        note(f"Wrote {destination}: {info.config.summary}.")


def _facts(pairs: list[str]) -> dict[str, str]:
    """Read KEY=TEXT pairs; raise UsageError for anything else."""
    facts = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not key or not separator:
            raise UsageError("--provenance needs KEY=TEXT.", 'Use --provenance licence="CC BY 4.0"')
        facts[key] = text
    return facts
