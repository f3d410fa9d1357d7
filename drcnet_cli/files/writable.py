"""Folders and names that cannot be written to, found before anything is computed for them."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from drcnet_cli.errors import ImageError, StorageError, UsageError
from drcnet_cli.files.addresses import Address, Place
from drcnet_cli.files.atomic import refusal
from drcnet_cli.files.plan import Job


def check_named(path: Path, what: str, *endings: str) -> None:
    """Raise UsageError unless `what` can have this name, which might be that of a picture."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", f"Name a file in it: {path / f'FILE{endings[0]}'}")
    if path.suffix.lower() not in endings:
        raise UsageError(f"{path} is not named as {what}.", f"Name it FILE{endings[0]}")


def write_refusal(destination: Place) -> ImageError | None:
    """Return the error that writing this file will end with, as far as its folder tells it.

    Of folders that are not there yet the nearest one above decides. An address tells nothing.
    """
    if isinstance(destination, Address):
        return None
    target = Path(os.path.realpath(destination)) if destination.is_symlink() else destination
    folders = target.absolute().parents
    place = next((folder for folder in folders if os.path.lexists(folder)), folders[-1])
    if os.access(place, os.W_OK | os.X_OK):
        return None
    code = errno.EROFS if _is_read_only(place) else errno.EACCES
    error = refusal(destination, OSError(code, os.strerror(code)))
    if not isinstance(error, StorageError):
        error.hint = f"Change the permissions of the folder {place}, or name an output elsewhere"
    return error


def _is_read_only(folder: Path) -> bool:
    """Tell whether a folder lies on a medium that nobody can write to."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except (AttributeError, OSError):  # Windows has no such call
        return False


def check_writable(jobs: Iterable[Job]) -> None:
    """Raise ImageError if no job at all can write its output; single ones fail in their turn."""
    first: ImageError | None = None
    for job in jobs:
        if (error := write_refusal(job.destination)) is None:
            return
        first = first or error
    if first is not None:
        raise first
