"""The flags of `drcnet train`: one for each setting of `TrainConfig`, made from it."""

import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from drcnet_cli.cli._options import JsonOption, QuietOption
from drcnet_cli.train.config import PRESETS, TrainConfig

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
_GENERAL: dict[str, tuple[Any, Any]] = {
    "config": (_ConfigOption, None),
    "preset": (_PresetOption, None),
    "print_config": (_PrintOption, False),
    "quiet": (QuietOption, False),
    "as_json": (JsonOption, False),
}


def with_train_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes `**values` the signature that typer makes the flags from."""
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
