"""`drcnet train`: train the network on pairs, or on clean photographs alone."""

import sys
from dataclasses import asdict
from typing import Any

import typer

from drcnet_cli.cli._output import note, print_json
from drcnet_cli.cli._train_options import with_train_flags
from drcnet_cli.errors import EXIT_INTERRUPTED, UsageError
from drcnet_cli.train.config import build_config


@with_train_flags
def train(**flags: Any) -> None:  # noqa: ANN401 - one of each setting's type
    """Train on a published data set, on pairs of your own, or on clean photographs alone.

    drcnet train --task denoise --clean PHOTOS --minutes 60
    drcnet train --task derain --lq RAINY --gt CLEAN --steps 100000
    drcnet train --task gopro --data-root DIR --preset paper

    Called again with the same --out it goes on where it stopped. On several GPUs or hosts:
    accelerate launch -m drcnet_cli train ...
    """
    file, preset = flags.pop("config"), flags.pop("preset")
    as_json, quiet, print_only = (flags.pop(name) for name in ("as_json", "quiet", "print_config"))
    config = build_config(flags, file=file, preset=preset)
    if print_only:
        sys.stdout.write(config.to_toml())
        return
    if not config.task:
        raise UsageError("What is to be learned?", "Give --task derain, denoise or deblur")
    try:
        from drcnet_cli.train.loop import train as run
    except ModuleNotFoundError as error:
        if error.name != "accelerate":
            raise
        raise UsageError("Training needs more packages.", "pip install 'drcnet[train]'") from error
    from drcnet_cli.cli._train_progress import TrainProgress

    with TrainProgress(quiet) as progress:
        result = run(config, progress)
    if result.main:
        if as_json:
            print_json({**asdict(result), "final": result.final and str(result.final)})
        if not quiet:
            note(
                f"Done: {result.final}"
                if result.final
                else "Interrupted, and saved: the same command goes on from here."
            )
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
