"""Where uploads and results lie while they are of use, and who they belong to.

All of it is in one folder with a name that nobody can guess, which goes when the page ends.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class _Visitor:
    folders: list[Path] = field(default_factory=list)
    uploads: set[Path] = field(default_factory=set)
    stopped: threading.Event = field(default_factory=threading.Event)
    seen: float = 0.0


class Store:
    """Keeps each visitor's files until the visitor leaves, or does nothing for `idle` seconds.

    For any number of threads. The same upload of two visitors is one file, which goes with the last
    of them.
    """

    def __init__(self, root: Path, idle: float = 3600) -> None:
        self.root = root
        self._idle = idle
        self._kept: set[Path] = set()
        self._visitors: dict[str, _Visitor] = {}
        self._lock = threading.RLock()

    def begin(self, visitor: str) -> tuple[Path, threading.Event]:
        """Make an empty folder for a visitor's results; whatever was there before goes.

        The event is set when nobody waits for these results any more.
        """
        self._sweep()
        with self._lock:
            known = self._known(visitor)
            known.stopped.set()
            _remove(known.folders)
            known.folders = [Path(tempfile.mkdtemp(prefix="restored-", dir=self.root))]
            known.stopped = threading.Event()
            return known.folders[0], known.stopped

    def stop(self, visitor: str) -> None:
        """Let what computes for a visitor know that nobody waits."""
        with self._lock:
            self._visitors.get(visitor, _Visitor()).stopped.set()

    def close(self) -> None:
        """Stop whatever computes."""
        with self._lock:
            for visitor in self._visitors:
                self.stop(visitor)

    def keep(self) -> None:
        """Never delete what is there now: the page's own pictures."""
        self._kept = {path for path in self.root.rglob("*") if path.is_file()}

    def note_uploads(self, visitor: str, paths: Iterable[Path]) -> None:
        """Remember what a visitor uploaded."""
        with self._lock:
            self._known(visitor).uploads.update(paths)

    def forget_uploads(self, visitor: str) -> None:
        """Delete what a visitor uploaded, unless another did, too."""
        with self._lock:
            known = self._visitors.get(visitor, _Visitor())
            uploads, known.uploads = known.uploads, set()
            others = (each.uploads for each in self._visitors.values())
            for path in uploads.difference(self._kept, *others):
                path.unlink(missing_ok=True)

    def forget(self, visitor: str) -> None:
        """Delete all of a visitor's files, and stop what computes for them."""
        with self._lock:
            self.stop(visitor)
            self.forget_uploads(visitor)
            _remove(self._visitors.pop(visitor, _Visitor()).folders)

    def _known(self, visitor: str) -> _Visitor:
        known = self._visitors.setdefault(visitor, _Visitor())
        known.seen = time.monotonic()
        return known

    def _sweep(self) -> None:
        """Forget who has done nothing for long."""
        with self._lock:
            long_ago = time.monotonic() - self._idle
            for visitor in [name for name, each in self._visitors.items() if each.seen < long_ago]:
                self.forget(visitor)


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
