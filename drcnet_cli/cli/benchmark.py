"""`drcnet benchmark`: how fast this machine restores."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli.cli import _options as options
from drcnet_cli.cli._options import choose_checkpoint
from drcnet_cli.cli._output import note, print_json, print_line

if TYPE_CHECKING:
    from drcnet_cli.restore.speed import SpeedReport

DEFAULT_TASK = "denoise"  # its checkpoint is part of the package


def benchmark(
    task: options.TaskOption = None,
    model: options.ModelOption = None,
    weights: options.WeightsOption = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="Seconds for each of the three measurements, about.")
    ] = 5.0,
    device: options.DeviceOption = "auto",
    dtype: options.DtypeOption = "auto",
    backend: options.BackendOption = "torch",
    threads: options.ThreadsOption = None,
    hub_repo: options.HubRepoOption = None,
    offline: options.OfflineOption = False,
    quiet: options.QuietOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Measure the network alone, a folder restored, and both beside a plain convolution.

    Without --task, --model or --weights, the checkpoint for --task denoise.
    """
    named = task or model or weights
    checkpoint = choose_checkpoint(task if named else DEFAULT_TASK, model, weights)

    from drcnet_cli.restore.config import RestoreConfig, open_model
    from drcnet_cli.restore.speed import measure_speed

    config = RestoreConfig(
        checkpoint, task, device, dtype, backend, hub_repo=hub_repo, offline=offline
    )
    say = (lambda _: None) if quiet else (lambda text: note(f"Measuring: {text}"))
    result = measure_speed(open_model(config), seconds=seconds, notify=say)
    if as_json:
        print_json(asdict(result))
    else:
        _print(result)


def _print(result: "SpeedReport") -> None:
    """Print a line for each figure."""
    print_line(
        f"{result.model}: {result.device}, {result.dtype}, {result.threads} threads, "
        f"torch {result.torch}"
    )
    for speed in result.network:
        print_line(
            f"network {f'{speed.batch} x {speed.side} x {speed.side}':<16} {speed.seconds:8.4f} s "
            f"{speed.megapixels_per_second:8.3f} MP/s {speed.gflops_per_second:8.1f} GFLOP/s "
            f"({speed.ceiling_share:.0%} of a convolution's {speed.ceiling_gflops_per_second:.1f})"
        )
    folder = result.restore
    print_line(
        f"restore {f'{folder.pictures} JPEGs, {folder.megapixels:.1f} MP':<16} "
        f"{folder.seconds:8.2f} s {folder.megapixels_per_second:8.3f} MP/s"
    )
    if result.peak_megabytes is not None:
        print_line(f"peak memory {result.peak_megabytes:.0f} MB")
