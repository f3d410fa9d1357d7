"""What an `Address` leads to: listed, read and written through fsspec, the failures told.

* Nothing is asked of the server for each file that a listing tells.
* Reading is bounded by what was told, or by the caller's limit: a server's promise counts for
  nothing.
* An object is written by one call that makes it visible when it is whole; several parts of it are
  put together by the last one. Where a server cannot do that, nothing is written.
* What may pass (503, a cut-off answer) is tried again. Credentials are fsspec's business, and no
  message holds any.
"""

import asyncio
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from drcnet_cli.errors import ImageError, RemoteError, StorageError, UsageError
from drcnet_cli.files.addresses import Address, without_secrets

# Stores whose objects appear whole, by the last request. `memory` is this process's own.
_WRITABLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"}
_EXTRAS = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}

LARGEST = 8 * 2**30  # bytes of a picture: a gigapixel of 16-bit RGBA

_PAUSES = (0.5, 2.0, 8.0)  # seconds before each further try
_PATIENCE = 20.0  # seconds of tries after which there is no further one
_PIECE = 2**22
# With a size, whatever it is, fsspec sends no HEAD before, all of whose failures it would take for
# a missing file; without blocks it reads in one go.
_IN_ONE_GO = {"size": 1, "block_size": 0}
_PASSING = {408, 429}  # of the answers 4xx
_FINAL = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    ValueError,
    LookupError,
    NotImplementedError,
    zipfile.BadZipFile,
)
# What file systems call the time of change.
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")

_opened = threading.local()
Result = TypeVar("Result")
FileSystem = Any  # fsspec's, whose annotations are of all that its methods might return


def check_known(address: Address) -> None:
    """Raise UsageError for an address that fsspec does not know, or lacks a package for."""
    import fsspec

    for piece in address.url.split("::"):
        scheme = piece.partition("://")[0].lower()
        if scheme == piece.lower():  # the path of an archive on this machine
            continue
        try:
            fsspec.get_filesystem_class(scheme)
        except ImportError as error:
            extra = _EXTRAS.get(scheme)
            hint = f"Type: pip install 'drcnet[{extra}]'" if extra else without_secrets(str(error))
            raise UsageError(f"{scheme}:// takes one more package to read.", hint) from error
        except ValueError as error:
            raise UsageError(
                f"{scheme}:// is no address that is known.", "Use s3://, gs://, https:// or hf://"
            ) from error


def check_writable_address(address: Address) -> None:
    """Raise UsageError where objects cannot be written whole or not at all."""
    if address.scheme not in _WRITABLE or address.container:
        raise UsageError(
            f"{address.scheme}:// is only read here, and {address} was to be written.",
            "Name a folder on this machine, or a bucket's (s3://, gs://, az://)",
        )
    check_known(address)


def find_object(address: Address) -> Address | None:
    """Return the address of an object with what is told of it; None if it is a folder.

    Raises UsageError if nothing is there, RemoteError if that cannot be found out.
    """
    check_known(address)
    if address.is_web:  # which has no folders, and tells at reading what is there
        return address
    try:
        info = _try(address, lambda: _info(address))
    except RemoteError as error:
        if error.is_missing:
            raise UsageError(f"There is nothing at {address}.", "Check the address.") from None
        raise
    return _told(address, info) if info.get("type") == "file" else None


def existing_object(address: Address) -> Address | None:
    """Return the address of an object that may be missing, with what is told of it."""
    try:
        return find_object(address)
    except UsageError:
        return None


def list_objects(folder: Address) -> list[tuple[Address, str]]:
    """Return all objects below a folder, each with its place there, by one listing.

    Nothing for a folder that does not exist. Raises UsageError for the web, which lists nothing,
    RemoteError if the listing fails.
    """
    return _listed(folder, lambda system, path: system.find(path, detail=True))


def match_objects(base: Address, pattern: str) -> list[tuple[Address, str]]:
    """Return all objects that a pattern below `base` matches, or that lie in folders it matches."""

    def find(system: FileSystem, path: str) -> dict[str, Any]:
        found = system.glob("/".join(filter(None, (path.rstrip("/"), pattern))), detail=True)
        whole: dict[str, Any] = {}
        for name, info in found.items():
            is_folder = info.get("type") == "directory"
            whole.update(system.find(name, detail=True) if is_folder else {name: info})
        return whole

    return _listed(base, find)


def read_object(address: Address, limit: int) -> bytes:
    """Return an object's bytes; raises RemoteError, before any comes where it has over `limit`."""
    check_known(address)
    if address.is_web:
        return _try(address, lambda: _stream(address, limit))
    return _try(address, lambda: _fetch(address, limit))


def write_object(address: Address, data: bytes) -> None:
    """Make `data` the object at an address, whole or not at all.

    Raises StorageError where no other object could be written either, else RemoteError.
    """
    check_writable_address(address)

    def write() -> None:
        system, path = _open(address)
        system.pipe_file(path, data)

    _try(address, write, writes=True)


def fetch_file(address: Address, path: Path) -> None:
    """Bring an object into a file here; raises RemoteError, StorageError if there is no room."""
    check_known(address)
    size, room = address.size, shutil.disk_usage(path.parent).free
    if size is not None and size > room:
        raise StorageError(
            f"There is no room for {address} ({size / 2**30:.1f} GiB) in {path.parent}.",
            "Make room, or name another folder by TMPDIR",
        )

    def fetch() -> None:
        system, inside = _open(address)
        how = _IN_ONE_GO if address.is_web else {}
        with path.open("wb") as target, system.open(inside, "rb", **how) as source:
            for piece in _pieces(address, source.read, room):
                target.write(piece)
        if size is not None and path.stat().st_size != size:
            raise ConnectionError(f"{path.stat().st_size} of {size} bytes came")

    _try(address, fetch)


def write_file(address: Address, path: Path) -> None:
    """Make a file's contents the object at an address; see `write_object`."""
    check_writable_address(address)

    def write() -> None:
        system, inside = _open(address)
        system.put_file(str(path), inside)

    _try(address, write, writes=True)


def _listed(
    folder: Address, find: Callable[[FileSystem, str], dict[str, Any]]
) -> list[tuple[Address, str]]:
    check_known(folder)
    if folder.is_web:
        raise UsageError(
            f"{folder} lists no files: {folder.scheme}:// has no folders.", "Name each file"
        )

    def listing() -> list[tuple[Address, str]]:
        system, path = _open(folder)
        system.invalidate_cache()
        try:
            found = find(system, path)
        except FileNotFoundError:
            return []
        return list(_placed(folder, path.rstrip("/"), found))

    return _try(folder, listing)


def _placed(folder: Address, base: str, found: dict[str, Any]) -> Iterator[tuple[Address, str]]:
    """Yield the files among what a listing found, each with its place below the folder."""
    for name, info in found.items():
        if info.get("type") == "file":
            place = name[len(base) :].removeprefix("/") if name.startswith(base) else ""
            yield _told(folder / place, info), place


def _open(address: Address) -> tuple[FileSystem, str]:
    """Return the file system of an address, each thread its own, and the path in it."""
    from fsspec.core import url_to_fs

    if not address.container:  # these, fsspec itself keeps
        return url_to_fs(address.url)
    systems: dict[str, FileSystem] = _opened.__dict__
    if address.root.url not in systems:
        systems[address.root.url] = url_to_fs(address.root.url)[0]
    return systems[address.root.url], address.path.strip("/")


def _info(address: Address) -> dict[str, Any]:
    system, path = _open(address)
    system.invalidate_cache()
    return system.info(path)


def _told(address: Address, info: dict[str, Any]) -> Address:
    """Return an address with the size and time that a listing or a request tells."""
    size = info.get("size")
    found = next((info[key] for key in _TIMES if info.get(key)), None)
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found.replace("Z", "+00:00"))
        except ValueError:
            found = None
    if isinstance(found, datetime):
        found = found.timestamp()
    at = round(found * 10**9) if isinstance(found, (int, float)) else None
    return address.told(size if isinstance(size, int) else None, at)


def _fetch(address: Address, limit: int) -> bytes:
    """Return an object's bytes, no more than its size as it was told."""
    size = address.size
    if size is None:
        size = _told(address, _info(address)).size
    if size is None:
        system, path = _open(address)
        with system.open(path, "rb") as file:
            return b"".join(_pieces(address, file.read, limit))
    if size > limit:
        raise _too_large(address, size)
    if size == 0:
        return b""
    system, path = _open(address)
    data = system.cat_file(path, start=0, end=size)
    if len(data) != size:
        raise ConnectionError(f"{len(data)} of {size} bytes came")
    return data


def _stream(address: Address, limit: int) -> bytes:
    """Return what a web server sends, which may have no end."""
    system, path = _open(address)
    with system.open(path, "rb", **_IN_ONE_GO) as file:
        announced = file.r.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise _too_large(address, int(announced))
        return b"".join(_pieces(address, file.read, limit))


def _pieces(address: Address, read: Callable[[int], bytes], limit: int) -> Iterator[bytes]:
    while piece := read(_PIECE):
        limit -= len(piece)
        if limit < 0:
            raise ImageError(f"{address} is larger than what is read, and was not read to its end.")
        yield piece


def _too_large(address: Address, size: int) -> ImageError:
    return ImageError(f"{address} has {size / 2**30:.0f} GiB, more than a picture has.")


def _try(address: Address, act: Callable[[], Result], *, writes: bool = False) -> Result:
    """Do something with an address, again where its failure may pass; raise what remains of it."""
    started = time.monotonic()
    for pause in (*_PAUSES, None):
        try:
            return act()
        except (ImageError, UsageError, MemoryError):
            raise
        # Each file system of fsspec's has errors of its own, and they share no other base.
        except Exception as error:
            _opened.__dict__.pop(address.root.url, None)  # its archive may be another by now
            waited = time.monotonic() - started
            if pause is None or waited > _PATIENCE or _is_final(error):
                # Its own message may quote the address.
                cause = error if str(address) == address.url else None
                raise _refusal(address, error, writes) from cause
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _is_final(error: Exception) -> bool:
    """Tell whether another try would end like this one."""
    status = _status(error)
    if status is not None:
        return 400 <= status < 500 and status not in _PASSING
    return isinstance(error, _FINAL) or "Credential" in type(error).__name__


def _status(error: Exception) -> int | None:
    """Return the number of the answer that an error tells of."""
    answer = getattr(error, "response", None)
    for holder, name in ((error, "status"), (error, "code"), (answer, "status_code")):
        if isinstance(found := getattr(holder, name, None), int):
            return found
    return None


def _refusal(address: Address, error: Exception, writes: bool) -> RemoteError | StorageError:
    """Return the one sentence for a failure."""
    act = "written" if writes else "read"
    status, missing = _status(error), isinstance(error, FileNotFoundError)
    if isinstance(error, PermissionError) or status in (401, 403):
        message = f"{address} may not be {act}: the server refuses access."
        hint = "Check the credentials in the environment, which fsspec takes."
    elif "Credential" in type(error).__name__:
        message = f"{address} may not be {act}: there are no credentials for it."
        hint = "Give them in the environment, as fsspec takes them."
    elif missing and writes:
        message, hint = (
            f"{address} cannot be written: there is no such bucket.",
            "Check the address.",
        )
    elif missing or status == 404:
        return RemoteError(f"{address} does not exist.", "Check the address.", is_missing=True)
    else:
        message = f"{address} cannot be {act}: {_reason(error, status)}."
        hint = "Run the same command again later"
        return RemoteError(message, hint)
    return StorageError(message, hint) if writes else RemoteError(message, hint)


def _reason(error: Exception, status: int | None) -> str:
    if status is not None:
        return f"the server answered {status}"
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return "the server did not answer in time"
    if any(word in type(error).__name__ for word in ("Payload", "Incomplete", "Disconnected")):
        return "the answer was cut off"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return without_secrets(" ".join(text.split()))[:200].rstrip(".") or type(error).__name__


def safe_place(place: str) -> Path | None:
    """Return the place below a folder that a name from elsewhere says; None if it leads out of it.

    So does one that no file here can have.
    """
    parts = place.split("/")
    odd = "\0" if os.name != "nt" else "\0\\:"
    unsafe = any(part in ("", ".", "..") or any(c in part for c in odd) for part in parts)
    return None if unsafe else Path(*parts)
