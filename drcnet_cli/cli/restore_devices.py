"""Where `drcnet restore` computes: in this process, or in one for each of several devices."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drcnet_cli.cli.output import note, notifier
from drcnet_cli.errors import DrcnetError, UsageError

if TYPE_CHECKING:
    from drcnet_cli.files import Job
    from drcnet_cli.infer import Restorer, Tiling
    from drcnet_cli.restore import Outcome, Watch, WriteOptions

Run = Callable[["Watch"], "list[Outcome]"]


def check_devices(device: str, backend: str) -> list[str]:
    """Give the devices that --device names; raise UsageError where there cannot be several."""
    from drcnet_cli.device import choose_devices
    from drcnet_cli.runtimes import TORCH

    devices = choose_devices(device)
    if len(devices) > 1 and backend != TORCH:
        raise UsageError(
            f"Several devices are for torch, not for the backend {backend}.",
            "Leave out --backend or --device",
        )
    return devices


def plan_run(
    jobs: "Sequence[Job]",
    restorer: "Restorer",
    options: "WriteOptions",
    devices: list[str],
    recipe: "tuple[str | Path, Tiling, bool]",
    quiet: bool,
) -> Run:
    """Give what restores the jobs while a watch looks on.

    `recipe`: checkpoint, tiling and ensemble, as the restorer was made from.
    """
    if len(devices) == 1:
        from drcnet_cli.restore import restore_files

        return lambda watch: restore_files(jobs, restorer, options, watch)

    from drcnet_cli.device import dtype_name
    from drcnet_cli.workers import Recipe, restore_on

    _settle_dtype(jobs, restorer, options.float_range)
    checkpoint, tiling, ensemble = recipe
    if not quiet:
        note(f"{len(devices)} processes: {', '.join(devices)}")
    made = Recipe(checkpoint, dtype_name(restorer.dtype), tiling, ensemble)
    return lambda watch: restore_on(devices, jobs, made, options, watch, notifier(quiet))


def _settle_dtype(jobs: "Sequence[Job]", restorer: "Restorer", float_range: float | None) -> None:
    """Decide on the number type by the first picture that can be read, for all processes."""
    from drcnet_cli.imageio import read_picture

    for job in jobs:
        try:
            pixels = read_picture(job.source, float_range=float_range).pixels
        except (DrcnetError, MemoryError):  # said when its turn comes
            continue
        restorer.settle_dtype(pixels)
        return
