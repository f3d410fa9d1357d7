"""`drcnet export`: a checkpoint as a file that other programs run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli import options
from drcnet_cli.cli.output import note, print_json, print_line
from drcnet_cli.cli.restore import choose_checkpoint
from drcnet_cli.errors import UsageError

if TYPE_CHECKING:
    from drcnet_cli.export.onnx import Shape


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
    half: Annotated[
        bool,
        typer.Option("--half", help="Weights as float16: half the size, computed in float32."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that exists.")
    ] = False,
    hub_repo: options.HubRepoOption = None,
    offline: options.OfflineOption = False,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Write a checkpoint as ONNX or OpenVINO, and check that it computes the same.

    The file is run on several sizes and kept only if no value differs by more than 0.0001.
    """
    from drcnet_cli.runtimes import check_installed

    checkpoint = choose_checkpoint(task, model, weights)
    shape = parse_shape(size, batch)
    chosen = _choose_format(format, out)
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists already.", "Use --overwrite to replace it")
    check_installed(chosen)

    from drcnet_cli.api import check_task
    from drcnet_cli.export.run import export as write

    done = write(
        checkpoint,
        out,
        chosen,
        shape=shape,
        opset=opset,
        half=half,
        hub_repo=hub_repo,
        offline=offline,
        check=lambda info: check_task(info, task),
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
