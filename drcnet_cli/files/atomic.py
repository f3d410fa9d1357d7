"""Writes that are whole or absent: a temporary file beside the target, then one rename.

A reader never sees a half-written file, an interrupted run leaves none behind, and the previous
contents stay until the new ones are safely on disk.

Nothing runs in a process that is killed, so its temporary files stay, and a run that is killed
often would fill the disk with them: the next process that writes beside them removes them. Who
writes into a folder holds a shared lock on it, which ends with the process however it ends; who
gets the lock for himself alone knows that no temporary file there is in use. Where folders cannot
be locked (Windows, some network file systems) they stay.
"""

import errno
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from drcnet_cli.errors import ImageError, StorageError, UsageError
from drcnet_cli.files.addresses import Place

_SUFFIX = ".drcnet.tmp"
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}" + re.escape(_SUFFIX), re.DOTALL)
_REFUSED = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}
# Most file systems allow 255 bytes a name, encrypted ones 143; the rest of the name is ours.
_NAME_BYTES_KEPT = 64

# Another process holds a folder for itself only while it removes files.
_ATTEMPTS, _PAUSE = 50, 0.02  # seconds

# Device and inode of the folders that this process has looked through.
_looked_through: set[tuple[int, int]] = set()


def temporary_sibling(path: Path) -> Path:
    """Return an unused hidden name `.NAME.<random>.drcnet.tmp` in `path`'s folder; creates nothing.

    NAME is cut to 64 bytes, so that the longest names which the file system allows stay writable.
    """
    # No half letter, which some file systems refuse; and under no locale a letter that it lacks.
    kept = os.fsencode(path.name)[:_NAME_BYTES_KEPT].decode("utf-8", errors="ignore")
    kept = os.fsdecode(kept.encode())
    return path.with_name(f".{kept}.{secrets.token_hex(6)}{_SUFFIX}")


@contextmanager
def atomic_write(
    destination: Path, before_replace: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Yield a temporary path to write to; it becomes `destination` when the block ends normally.

    The temporary file exists, empty, in the target's folder (created if missing) with the
    permissions that `open` would give. Its name ends in `.tmp`, so a writer that chooses its format
    by the name must be told the format. Close every handle on it before the block ends. On any
    exception, `KeyboardInterrupt` included, it is removed and `destination` stays as it was. A
    symbolic link is written through, as `open` does.

    `before_replace` gets the temporary path when its contents are whole: what it sets of the file
    (times, permissions) is what `destination` has.

    Raises `UsageError` if `destination` is a folder or a device, and `OSError` naming
    `destination` where the file system refuses (read-only, full, no permission).
    """
    target = Path(os.path.realpath(destination)) if destination.is_symlink() else destination
    _refuse_special(target)
    temporary = temporary_sibling(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.parent):
        try:
            with _naming(temporary, destination):
                mode = _create(temporary)
            with _naming_full_disk(destination):
                yield temporary
            with _naming(temporary, destination):
                _flush(temporary, mode, before_replace)
                temporary.replace(target)
        finally:
            # After the rename there is nothing left under this name.
            if temporary.parent.is_dir():
                with _naming(temporary, destination):
                    temporary.unlink(missing_ok=True)


def refusal(path: Place | str, error: OSError) -> ImageError:
    """Return the error for an output not written: a StorageError if no other could be either."""
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
    """Create the empty file, permissions following the umask; return its mode."""
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _flush(
    temporary: Path, mode: int, before_replace: Callable[[Path], None] | None = None
) -> None:
    """Bring the contents to the disk before the rename can make them visible."""
    # Some writers replace the file by one of their own, readable by its owner alone.
    if stat.S_IMODE(temporary.stat().st_mode) != mode:
        temporary.chmod(mode)
    # Opened for writing because Windows flushes no other descriptor.
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        if before_replace is not None:
            before_replace(temporary)
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


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep temporary files in `folder` from being removed as abandoned while the block runs.

    The first time that a process does so, what killed ones left there is removed.
    """
    descriptor = _open(folder)
    if descriptor is None:
        yield
        return
    try:
        _clear_once(descriptor)
        _share(descriptor)
        yield
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int | None:
    """Open a folder to lock it; None where that is impossible, which stops no writing."""
    if sys.platform == "win32":
        return None
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None


def _clear_once(descriptor: int) -> None:
    """Remove what killed processes left in a folder, unless this process has done so before."""
    status = os.fstat(descriptor)
    place = status.st_dev, status.st_ino
    if place in _looked_through:
        return
    locked = _lock(descriptor, alone=True)
    if locked:
        _remove_abandoned(descriptor)
    # While others write there, it is tried again with each file.
    if locked is not False:
        _looked_through.add(place)


def _remove_abandoned(descriptor: int) -> None:
    with os.scandir(descriptor) as entries:
        names = [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]
    for name in names:
        # Another user's, or on a medium that has become read-only: it stays.
        with suppress(OSError):
            os.unlink(name, dir_fd=descriptor)  # noqa: PTH108 - pathlib knows no descriptors


def _share(descriptor: int) -> None:
    """Take the lock together with all others who write there."""
    for _ in range(_ATTEMPTS):
        if _lock(descriptor, alone=False) is not False:
            return
        time.sleep(_PAUSE)


def _lock(descriptor: int, *, alone: bool) -> bool | None:
    """Lock a folder; False if others prevent it, None if the file system knows no such lock."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
