"""Spellings that a shell or a file manager would have resolved: `~`, `file://`, `{jpg,png}`."""

import os
import re
from urllib.parse import unquote

_ADDRESS = re.compile(r"file:(//(localhost)?(?=/)|(?=/[^/]))", re.IGNORECASE)
_DRIVE = re.compile(r"/[a-z]:", re.IGNORECASE)
_MOST_ALTERNATIVES = 4096

# What makes a text a pattern, and a part of one that does: braces may hold slashes.
MAGIC = re.compile(r"[*?[]|\{[^{}]*,|\{\d+\.\.\d+\}")
MAGIC_IN_PART = re.compile(r"[*?[{]")


def as_meant(text: str) -> str:
    """Return the path that a text means; the text itself where a file has that very name."""
    if os.path.lexists(text):
        return text
    if address := _ADDRESS.match(text):
        path = unquote(text[address.end() :], errors="surrogateescape")
        return path[1:] if os.name == "nt" and _DRIVE.match(path) else path
    if text.startswith("~"):
        return os.path.expanduser(text)  # noqa: PTH111 - pathlib drops the slash of `~/photos/`
    return text


def how_meant(text: str) -> str:
    """Say how a text was understood that is not a path as it stands; empty if it is one."""
    if text.startswith("~"):
        name = text.partition("/")[0]
        home = as_meant(name)
        return f"{name} is nobody's folder here." if home == name else f"{name} is {home}."
    if _ADDRESS.match(text):
        return f"{text} was read as {as_meant(text)}."
    return ""


def alternatives(pattern: str) -> list[str]:
    """Expand the innermost braces that hold a comma or a range, as a shell does, until none are."""
    done, pending = [], [pattern]
    while pending and len(done) + len(pending) <= _MOST_ALTERNATIVES:
        text = pending.pop()
        braces = re.search(r"\{([^{}]*,[^{}]*|\d+\.\.\d+)\}", text)
        if braces is None:
            done.append(text)
            continue
        before, after = text[: braces.start()], text[braces.end() :]
        pending += [before + choice + after for choice in reversed(_choices(braces[1]))]
    return list(dict.fromkeys(done + pending))


def _choices(inner: str) -> list[str]:
    """Return what braces offer: `a,b`, or the numbers of `000..099`, as wide as the first."""
    if "," in inner:
        return inner.split(",")
    first, last = inner.split("..")
    return [str(n).zfill(len(first)) for n in range(int(first), min(int(last), 10**6) + 1)]
