"""`drcnet train`: train the network on pairs, or on clean photographs alone."""

import inspect
import sys
from collections.abc import Callable
from dataclasses import Field, asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drcnet_cli.cli._options import JsonOption, QuietOption, SharedStorageOption, ThreadsOption
from drcnet_cli.cli._output import leave_at_once, note, print_json
from drcnet_cli.errors import EXIT_INTERRUPTED, UsageError
from drcnet_cli.tasks import TASKS, either
from drcnet_cli.train.config import PRESETS, TrainConfig, build_config

if TYPE_CHECKING:
    from drcnet_cli.train.log import Listener
    from drcnet_cli.train.loop import Result

# Settings that name one folder of pictures each, which may lie elsewhere.
_FOLDERS = ("lq", "gt", "masks")
# Short names, where other commands have them too.
_SHORT = {"task": "-t"}


def _flag(setting: "Field[Any]") -> inspect.Parameter:
    """Make the flag of one setting; not given, it is None, so that a file's value stands."""
    name = setting.name.replace("_", "-")
    names = [f"--{name}/--no-{name}" if isinstance(setting.default, bool) else f"--{name}"]
    kinds: dict[type, Any] = {bool: bool, int: int, float: float, str: str, tuple: list[str]}
    kind = str if setting.name == "betas" else kinds[type(setting.default)]
    default = "on" if setting.default is True else setting.default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default or "")
    option = typer.Option(
        *names,
        *filter(None, [_SHORT.get(setting.name)]),
        help=setting.metadata["help"],
        show_default=shown or False,
        rich_help_panel=setting.metadata["group"],
    )
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


_ConfigOption = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="Settings; flags override them.")
]
_PresetOption = Annotated[
    str | None, typer.Option(metavar="|".join(PRESETS), help="Settings to begin with.")
]
_PrintOption = Annotated[
    bool, typer.Option("--print-config", help="Print all settings as TOML, and stop.")
]
_RayOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Train on N workers of RAY_ADDRESS's cluster, else here."
    ),
]
_GENERAL: dict[str, tuple[Any, Any]] = {
    "config": (_ConfigOption, None),
    "preset": (_PresetOption, None),
    "print_config": (_PrintOption, False),
    "ray": (_RayOption, None),
    "shared_storage": (SharedStorageOption, False),
    "threads": (ThreadsOption, None),
    "quiet": (QuietOption, False),
    "as_json": (JsonOption, False),
}


def with_train_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Declare for a command that takes `**values` the signature that typer makes flags from."""
    general = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in _GENERAL.items()
    ]
    parameters = [*general, *map(_flag, fields(TrainConfig))]
    # typer reads the one or the other, depending on its version.
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    command.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return command


def _with_folders_here(config: TrainConfig, quiet: bool) -> TrainConfig:
    """Return the settings with copies in place of the addresses of pictures."""
    from drcnet_cli.cli._folders import folder_here

    here = {
        name: str(folder_here(text, quiet)) for name in _FOLDERS if (text := getattr(config, name))
    }
    return replace(config, **here, clean=tuple(str(folder_here(c, quiet)) for c in config.clean))


def _training(workers: int | None, shared_storage: bool) -> "Callable[..., Result]":
    """Return what trains: this process, or workers of a cluster."""
    if workers is None:
        if shared_storage:
            raise UsageError("--shared-storage is for --ray.", "Leave it out, or add --ray N")
        from drcnet_cli.train.loop import train as run

        return run
    from drcnet_cli.train.cluster import train_on_cluster

    def on_cluster(config: TrainConfig, listener: "Listener") -> "Result":
        return train_on_cluster(config, workers, shared_storage, listener)

    return on_cluster


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
    flags.pop("threads")  # set by then
    workers, shared_storage = flags.pop("ray"), flags.pop("shared_storage")
    as_json, quiet, print_only = (flags.pop(name) for name in ("as_json", "quiet", "print_config"))
    config = build_config(flags, file=file, preset=preset)
    if print_only:
        sys.stdout.write(config.to_toml())
        return
    if not config.task:
        raise UsageError("What is to be learned?", f"Give --task {either(tuple(TASKS))}")
    try:
        run = _training(workers, shared_storage)
    except ModuleNotFoundError as error:
        if error.name != "accelerate":
            raise
        raise UsageError("Training needs more packages.", "pip install 'drcnet[train]'") from error
    from drcnet_cli.cli._progress import TrainProgress

    config = _with_folders_here(config, quiet)
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
    code = EXIT_INTERRUPTED if result.interrupted else 0
    if result.processes > 1:
        leave_at_once(code)
    raise typer.Exit(code)
