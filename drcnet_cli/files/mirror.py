"""A folder of results that may lie elsewhere: worked in here, and sent there when it changed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from drcnet_cli.files.addresses import Address, Place, is_address
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.files.copies import cached_folder
from drcnet_cli.files.remote import (
    check_writable_address,
    existing_object,
    fetch_file,
    write_file,
)


def folder_of(text: str) -> Path:
    """Return the folder that a text names; of an address, the one here that stands for it."""
    if not is_address(text):
        return Path(text)
    return cached_folder(Address(text), "mirrors", "results")


class Mirror:
    """The files of one folder; where it is here, there is nothing to do.

    Raises UsageError for an address that takes no files.
    """

    def __init__(self, text: str) -> None:
        self.folder = folder_of(text)
        self._address = Address(text) if is_address(text) else None
        self._sent: dict[str, int] = {}
        if self._address:
            check_writable_address(self._address)

    @property
    def place(self) -> Place:
        """Where people find it."""
        return self._address or self.folder

    def bring(self, names: Iterable[str]) -> None:
        """Fetch what is there and newer than here; raises RemoteError, StorageError."""
        for name, address in self._pairs(names):
            path, there = self.folder / name, existing_object(address)
            if there is None or (path.exists() and _time(path) > (there.time or 0) > 0):
                continue
            with atomic_write(path) as temporary:
                fetch_file(there, temporary)

    def send(self, names: Iterable[str]) -> None:
        """Write there what is here and was not sent as it is; raises RemoteError, StorageError."""
        for name, address in self._pairs(names):
            path = self.folder / name
            if path.exists() and self._sent.get(name) != (time := _time(path)):
                write_file(address, path)
                self._sent[name] = time

    def _pairs(self, names: Iterable[str]) -> Iterator[tuple[str, Address]]:
        if self._address:
            yield from ((name, self._address / name) for name in names)


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns
