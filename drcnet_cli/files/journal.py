"""The journal of runs: which file is the result of which run, so that nothing is restored twice.

One SQLite database in the cache folder, for all runs and all their processes. An entry is committed
when a result is whole and before it takes its name, which changes neither size nor time: whatever
kills a run, a result under its final name has its entry, and an entry without one does no harm.
Paths are kept as digests: the journal tells nobody what pictures were called. It is no result of a
run, so it is the one file here that is not written as a temporary file: SQLite does that its way.
"""

import hashlib
import os
import sqlite3
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from drcnet_cli import settings
from drcnet_cli.files.addresses import Place

FILE_NAME = "journal-1.sqlite"  # the number is the tables'
MOST_ENTRIES = 500_000  # some 60 MB; the oldest ones go
_TAIL = 64 * 1024  # bytes
_IN_PLACE = "in place: "
_PATIENCE = 30.0  # seconds to wait for another process's commit

_TABLES = """
CREATE TABLE IF NOT EXISTS results (
    place BLOB, size INTEGER, time INTEGER, tail INTEGER,
    source_size INTEGER, source_time INTEGER, recipe TEXT, noted INTEGER,
    PRIMARY KEY (place, size, time)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS results_by_stamp ON results (size, time);
"""


class Stamp(NamedTuple):
    """What changes when a file does: its size in bytes and its time of change in nanoseconds."""

    size: int
    time: int


class Entry(NamedTuple):
    """How a result was made: the input as it was then, and what else decided (see `recipe`)."""

    source: Stamp
    recipe: str

    @property
    def is_in_place(self) -> bool:
        """Whether the result took its input's place."""
        return self.recipe.startswith(_IN_PLACE)


def in_place_recipe(recipe: str) -> str:
    """Return the recipe that stands for a result which takes its input's place."""
    return _IN_PLACE + recipe


def stamp(status: os.stat_result) -> Stamp:
    """Return a file's stamp."""
    return Stamp(status.st_size, status.st_mtime_ns)


def stamp_at(place: Place) -> Stamp:
    """Return the stamp of what is at a place: of an address what was told, -1 for what was not.

    Raises OSError for a file that is not there.
    """
    if isinstance(place, Path):
        return stamp(place.stat())
    return Stamp(*(-1 if fact is None else fact for fact in (place.size, place.time)))


class Journal:
    """The open journal, for any number of threads; `durable` commits outlast a power failure.

    Raises sqlite3.Error or OSError if it cannot be opened or made.
    """

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._database.executescript(_TABLES)
            self._prune()
        except sqlite3.Error:
            self._database.close()
            raise

    def close(self) -> None:
        """Close it."""
        self._database.close()

    def note(self, destination: Path, whole: Path, source: Stamp, recipe: str) -> bool:
        """Commit that the file `whole` is about to become `destination`; False where that fails."""
        result = stamp(whole.stat())
        row = (_place(destination), *result, _tail(whole), *source, recipe, time.time_ns())
        try:
            self._ask("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error:
            return False
        return True

    def find_output(self, path: Path) -> Entry | None:
        """Return how the file at a path was made, if a run made it and nobody changed it since."""
        found = self._look_up("place = ? AND size = ? AND time = ?", _place(path), *_stamp_of(path))
        return found[0][1] if found else None

    def find_result(self, path: Path) -> Entry | None:
        """Return how a file was made, if it is a run's result, also under another name by now.

        Its last bytes are compared, too: a backup copied over a result may have its size and time.
        """
        found = self._look_up("size = ? AND time = ?", *_stamp_of(path))
        tail = _tail(path) if found else 0
        return next((entry for known, entry in found if known == tail), None)

    def _look_up(self, condition: str, *values: object) -> list[tuple[int, Entry]]:
        columns = "tail, source_size, source_time, recipe"
        rows = self._ask(f"SELECT {columns} FROM results WHERE {condition}", values)
        return [(tail, Entry(Stamp(size, time), recipe)) for tail, size, time, recipe in rows]

    def _ask(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    def _prune(self) -> None:
        """Drop the oldest tenth, and what is beyond it, of a journal that has grown too long."""
        if self._ask("SELECT count(*) FROM results")[0][0] > MOST_ENTRIES:
            kept = MOST_ENTRIES * 9 // 10
            newest = "SELECT noted FROM results ORDER BY noted DESC LIMIT 1 OFFSET ?"
            self._ask(f"DELETE FROM results WHERE noted <= ({newest})", (kept,))


def open_journal(*, durable: bool = False) -> Journal:
    """Open the journal in the cache folder, a new one where it is damaged; raises OSError."""
    path = settings.cache_dir() / FILE_NAME
    try:
        try:
            return Journal(path, durable=durable)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # no database: what it held is lost
            for ending in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    path.with_name(path.name + ending).unlink()
            return Journal(path, durable=durable)
    except sqlite3.Error as error:
        raise OSError(None, str(error), str(path)) from error


def _place(path: Path) -> bytes:
    """Return what stands for a file's path, whatever links lead to it."""
    return hashlib.blake2b(os.fsencode(os.path.realpath(path)), digest_size=16).digest()


def _stamp_of(path: Path) -> Stamp:
    """Return the stamp of a file; of one that is gone, one that no file has."""
    try:
        return stamp(path.stat())
    except OSError:
        return Stamp(-1, -1)


def _tail(path: Path) -> int:
    """Return a checksum of a file's last bytes; -1 if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(-min(_TAIL, path.stat().st_size), os.SEEK_END)
            return zlib.crc32(file.read(_TAIL))
    except OSError:
        return -1
