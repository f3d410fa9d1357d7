"""`drcnet export`: a checkpoint as a file that other programs run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli import _options as options
from drcnet_cli.cli._options import choose_checkpoint
from drcnet_cli.cli._output import note, print_json, print_line
from drcnet_cli.engines import check_installed
from drcnet_cli.errors import UsageError

if TYPE_CHECKING:
    from drcnet_cli.engines.onnx_model import Shape

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}


def export(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="What to write: .onnx, or .xml (+ .bin)."),
    ],
    task: options.TaskOption = None,
    model: options.ModelOption = None,
    weights: options.WeightsOption = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", metavar="onnx|openvino", help="Default: as the file's name says."
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option(metavar="any|N|HxW", help="Height and width in pixels, multiples of 8."),
    ] = "any",
    batch: Annotated[str, typer.Option(metavar="any|N", help="Images a batch.")] = "any",
    opset: Annotated[int, typer.Option(help="ONNX operator set, 18 or newer.")] = 18,
    half: options.HalfOption = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that exists.")
    ] = False,
    threads: options.ThreadsOption = None,
    hub_repo: options.HubRepoOption = None,
    offline: options.OfflineOption = False,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Write a checkpoint as ONNX or OpenVINO, and check that it computes the same.

    The file is run on several sizes and kept only if no value differs by more than 0.0001.
    """
    checkpoint = choose_checkpoint(task, model, weights)
    chosen = choose_format(format, out)
    shape = _parse_shape(size, batch)
    for file in [out, out.with_suffix(".bin")] if chosen == "openvino" else [out]:
        if file.exists() and not overwrite:
            raise UsageError(f"{file} exists already.", "Use --overwrite to replace it")
    check_installed(chosen)

    from drcnet_cli.engines.export import export as write

    done = write(
        checkpoint,
        out,
        chosen,
        shape=shape,
        opset=opset,
        half=half,
        hub_repo=hub_repo,
        offline=offline,
        task=task,
    )
    if as_json:
        print_json(done.record())
        return
    for item in done.parity:
        print_line(
            f"{'x'.join(map(str, item.shape)):<16} largest difference {item.max_error:.1e}, "
            f"PSNR {item.psnr:.1f} dB"
        )
    if not quiet:
        note(f"Wrote {done.file}: {done.name or checkpoint}, {done.bytes / 1e6:.1f} MB.")


def choose_format(format: str | None, destination: Path) -> str:
    """Return onnx or openvino, by name or by the file's; raise UsageError where they disagree."""
    suffix = destination.suffix.lower()
    named = {own: name for name, own in SUFFIXES.items()}.get(suffix)
    if format is None and named is None:
        raise UsageError(
            f"The name {destination} does not say which format to write.",
            "Use --format onnx or --format openvino, or a name that ends in .onnx or .xml",
        )
    format = format or named
    if format not in SUFFIXES:
        raise UsageError(f"Unknown format {format!r}.", "Use --format onnx or --format openvino")
    if suffix != SUFFIXES[format]:
        raise UsageError(
            f"A file of the format {format} needs a name that ends in {SUFFIXES[format]}, "
            f"not {destination.name}.",
            f"Use --out {destination.with_suffix(SUFFIXES[format])}",
        )
    return format


def _parse_shape(size: str, batch: str) -> "Shape":
    """Read --size and --batch; raise UsageError for what is no number."""
    sides = size.split("x") if size != "any" else []
    for flag, numbers, form in (("--size", sides, "256, 480x640"), ("--batch", [batch], "1")):
        if numbers != ["any"] and not all(n.isdecimal() and int(n) > 0 for n in numbers):
            raise UsageError(f"{flag} cannot be {'x'.join(numbers)!r}.", f"Use {flag} any, {form}")
    if len(sides) > 2:
        raise UsageError(f"--size cannot be {size!r}.", "Use --size any, 256, 480x640")
    from drcnet_cli.engines.onnx_model import Shape

    height, width = (int(sides[0]), int(sides[-1])) if sides else (None, None)
    return Shape(None if batch == "any" else int(batch), height, width)
