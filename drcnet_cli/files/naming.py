"""Outputs' names: with a suffix, or by a pattern, `{stem}_{task}{ext}`."""

import os
from string import Formatter

from drcnet_cli.errors import UsageError

FIELDS = {
    "stem": "the input's name without its ending",
    "ext": "the output's ending, with its dot",
    "task": "the task, as denoise",
    "model": "the checkpoint's name, as drcnet-s-denoise",
}


_USE = f"Use {', '.join(f'{{{name}}}' for name in FIELDS)}, as in --name '{{stem}}_clean{{ext}}'"


def check_suffix(suffix: str) -> None:
    """Raise UsageError for a text that cannot be a part of a file's name."""
    if any(letter in suffix for letter in ("/", os.sep, "\0")):
        raise UsageError(f"--suffix {suffix!r} is no part of a file's name.", "Use --suffix _clean")


def check_pattern(pattern: str) -> set[str]:
    """Return the fields that a pattern names; raises UsageError for one that makes no file's name.

    Plain fields only: what Python's formatting can do beyond that has no use in a name.
    """
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError as error:
        raise UsageError(f"--name {pattern!r} has braces that do not match.", _USE) from error
    named = [(name, spec, how) for _, name, spec, how in parts if name is not None]
    if wrong := [name for name, spec, how in named if name not in FIELDS or spec or how]:
        raise UsageError(f"--name {pattern!r} has a field that is none: {{{wrong[0]}}}.", _USE)
    if any(letter in pattern for letter in ("/", os.sep, "\0")) or pattern.startswith("."):
        raise UsageError(f"--name {pattern!r} makes no plain file name.", _USE)
    return {name for name, _, _ in named}


def fill(pattern: str, **values: str) -> str:
    """Return a checked pattern with its fields' values in place."""
    return pattern.format_map(values)
