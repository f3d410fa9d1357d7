"""Temporary files of killed processes: found and removed by the next one that writes beside them.

Nothing runs in a process that is killed, so its temporary files stay, and a run that is killed
often would fill the disk with them. Who writes into a folder holds a shared lock on it, which ends
with the process however it ends; who gets the lock for himself alone knows that no temporary file
there is in use. Where folders cannot be locked (Windows, some network file systems) they stay.
"""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".drcnet.tmp"

_OURS = re.compile(r"\..*\.[0-9a-f]{12}" + re.escape(SUFFIX), re.DOTALL)
# Another process holds a folder for itself only while it removes files.
_ATTEMPTS, _PAUSE = 50, 0.02  # seconds

# Device and inode of the folders that this process has looked through.
_swept: set[tuple[int, int]] = set()


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Keep temporary files in `folder` from being taken for leftovers while the block runs.

    The first time that a process does so, what killed ones left there is removed.
    """
    descriptor = _open(folder)
    if descriptor is None:
        yield
        return
    try:
        _sweep_once(descriptor)
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


def _sweep_once(descriptor: int) -> None:
    status = os.fstat(descriptor)
    place = status.st_dev, status.st_ino
    if place in _swept:
        return
    locked = _lock(descriptor, alone=True)
    if locked:
        _remove_leftovers(descriptor)
    # While others write there, it is tried again with each file.
    if locked is not False:
        _swept.add(place)


def _remove_leftovers(descriptor: int) -> None:
    with os.scandir(descriptor) as entries:
        names = [entry.name for entry in entries if _OURS.fullmatch(entry.name)]
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
