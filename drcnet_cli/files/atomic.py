"""Writes that are whole or absent: a temporary file beside the target, then one rename.

A reader never sees a half-written file, an interrupted run leaves none behind, what a killed one
leaves is removed by the next, and the previous contents stay until the new ones are safely on disk.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drcnet_cli.errors import ImageError, StorageError, UsageError
from drcnet_cli.files.leftovers import SUFFIX, writing_in

_REFUSED = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}
# Most file systems allow 255 bytes a name, encrypted ones 143; the rest of the name is ours.
_NAME_BYTES_KEPT = 64


def temporary_sibling(path: Path) -> Path:
    """Give an unused hidden name `.NAME.<random>.drcnet.tmp` in `path`'s folder; creates nothing.

    NAME is cut to 64 bytes, so that the longest names which the file system allows stay writable.
    """
    kept = os.fsencode(path.name)[:_NAME_BYTES_KEPT].decode("utf-8", errors="ignore")
    return path.with_name(f".{kept}.{secrets.token_hex(6)}{SUFFIX}")


@contextmanager
def atomic_write(destination: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `destination` when the block ends normally.

    The temporary file exists, empty, in the target's folder (created if missing) with the
    permissions that `open` would give. Its name ends in `.tmp`, so a writer that chooses its format
    by the name must be told the format. Close every handle on it before the block ends. On any
    exception, `KeyboardInterrupt` included, it is removed and `destination` stays as it was. A
    symbolic link is written through, as `open` does.

    Raises `UsageError` if `destination` is a folder or a device, and `OSError` naming
    `destination` where the file system refuses (read-only, full, no permission).
    """
    target = Path(os.path.realpath(destination)) if destination.is_symlink() else destination
    _refuse_special(target)
    temporary = temporary_sibling(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with writing_in(target.parent):
        try:
            with _naming(temporary, destination):
                mode = _create(temporary)
            with _naming_full_disk(destination):
                yield temporary
            with _naming(temporary, destination):
                _flush(temporary, mode)
                temporary.replace(target)
        finally:
            # After the rename there is nothing left under this name.
            if temporary.parent.is_dir():
                with _naming(temporary, destination):
                    temporary.unlink(missing_ok=True)


def refusal(path: Path | str, error: OSError) -> ImageError:
    """Say that an output cannot be written: a StorageError if no other could be either."""
    message = f"{path} cannot be written: {error.strerror or error}."
    if error.errno not in _REFUSED:
        return ImageError(message)
    return StorageError(
        message, "Make room, or name an output elsewhere; the same command goes on from here."
    )


def _refuse_special(target: Path) -> None:
    """Raise `UsageError` where a rename would destroy or be refused by what is there."""
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode):
        raise UsageError(f"{target} is a folder, not a file.", "Give the name of a file.")
    if not stat.S_ISREG(mode):
        raise UsageError(
            f"{target} is not a regular file and would be replaced by one.",
            "Give the name of a file, or - for standard output.",
        )


def _create(temporary: Path) -> int:
    """Create the empty file, permissions following the umask, and give its mode."""
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _flush(temporary: Path, mode: int) -> None:
    """Bring the contents to the disk before the rename can make them visible."""
    # Some writers replace the file by one of their own, readable by its owner alone.
    if stat.S_IMODE(temporary.stat().st_mode) != mode:
        temporary.chmod(mode)
    # Opened for writing because Windows flushes no other descriptor.
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming_full_disk(destination: Path) -> Iterator[None]:
    """Let a write for which there is no room, which knows only a handle, name the file."""
    try:
        yield
    except OSError as error:
        if error.errno in _REFUSED and error.filename is None:
            error.filename = os.fspath(destination)
        raise


@contextmanager
def _naming(temporary: Path, destination: Path) -> Iterator[None]:
    """Let a refusal by the file system name the file that the user asked for."""
    try:
        yield
    except OSError as error:
        if error.filename == os.fspath(temporary):
            error.filename, error.filename2 = os.fspath(destination), None
        raise
