"""Outputs' names: with a suffix, or by a pattern, `{stem}_{task}{ext}`."""

import os
from collections.abc import Callable, Mapping
from string import Formatter

from drcnet_cli.errors import UsageError
from drcnet_cli.files.plan import Rename

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


def choose_rename(
    pattern: str, suffix: str, values: Callable[[set[str]], Mapping[str, str]]
) -> Rename | None:
    """Return what --name or --suffix make of an output's stem and ending; None without either.

    `values` gets the pattern's fields and returns those that are the same for all outputs. Raises
    UsageError for what makes no file's name, and for a field that has no value here.
    """
    if pattern and suffix:
        raise UsageError("--name and --suffix both name the outputs.", "Leave out either")
    if suffix:
        check_suffix(suffix)
        return lambda stem, ext: stem + suffix + ext
    if not pattern:
        return None
    fields = check_pattern(pattern)
    given = values(fields)
    if missing := [field for field in ("task", "model") if field in fields - set(given)]:
        raise UsageError(
            f"--name has {{{missing[0]}}}, of which there is none here.", "Leave it out"
        )
    return lambda stem, ext: fill(pattern, stem=stem, ext=ext, **given)
