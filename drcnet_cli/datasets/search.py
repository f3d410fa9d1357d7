"""Where data sets lie: what one is, what is found of it, and the folders it is looked for in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from drcnet_cli.datasets.pairs import Matching
from drcnet_cli.errors import UsageError
from drcnet_cli.files.discover import is_hidden
from drcnet_cli.imageio import is_image_name

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One picture of a data set.

    `load` gives the degraded picture (H x W x 3, uint8, or float32 around [0, 1] where noise was
    added: neither rounded nor clipped) and the target (H x W x 3, uint8; None if it isn't public).
    It raises DrcnetError naming the file that cannot be read. `load_mask` gives H x W booleans,
    true where the picture is damaged; None: nothing tells.
    """

    name: str
    load: Callable[[], tuple[Array, Array | None]]
    load_mask: Callable[[], Array] | None = None


@dataclass(frozen=True)
class FoundSet:
    """A data set that is there; `layout` says how it lies.

    `read` lists its pairs, or its pictures as cases; it raises UsageError if they make no data set.
    `sure`: the file names are this set's own, so that the folder's name doesn't matter. `whole`:
    its pictures are not cut up.
    """

    layout: str
    read: Callable[[], Matching | tuple[Case, ...]]
    sure: bool = False
    whole: bool = True


Finder: TypeAlias = Callable[[Path], FoundSet | None]

_DEPTH = 4


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    `count`: its number of pictures or pairs as published, None if nothing is published. `where`:
    how to get it and the folder it should be in. `folders`: names of the folder it is found in,
    upper and lower case being the same. `finders`: its layouts, the best first.
    """

    name: str
    title: str
    task: str
    count: int | None
    where: str
    folders: tuple[str, ...]
    finders: tuple[Finder, ...]

    def find(self, root: Path, containers: frozenset[str]) -> Iterator[tuple[FoundSet, bool]]:
        """Return each layout that is in or below `root`, and whether a folder's name says so.

        Looked through are folders that are called like the set, or as one of `containers`.
        """
        for folder, named in _search(root, {name.lower() for name in self.folders}, containers):
            for finder in self.finders:
                if found := finder(folder):
                    yield found, named

    def absent(self, root: Path) -> UsageError:
        """Return the error that says where to get it."""
        return UsageError(f"{self.title} is not in {root}.", f"{self.where} Then: --data-root DIR")


def _search(
    root: Path, wanted: set[str], containers: frozenset[str]
) -> Iterator[tuple[Path, bool]]:
    """Return `root` and the folders below it that may hold a set, the nearest first."""
    above = [root.resolve().name.lower(), root.resolve().parent.name.lower()]
    level = [(root, above[0] in wanted or (above[0] in containers and above[1] in wanted))]
    for _ in range(_DEPTH + 1):
        yield from level
        level = [
            (child, named or name in wanted)
            for folder, named in level
            for name, child in folders_in(folder).items()
            if name in wanted or name in containers
        ]


def find_file(folder: Path, name: str) -> Path | None:
    """Find a file in a folder, upper and lower case being the same."""
    if not folder.is_dir():
        return None
    found = (path for path in sorted(folder.iterdir()) if path.name.lower() == name.lower())
    return next((path for path in found if path.is_file()), None)


def folders_in(folder: Path) -> dict[str, Path]:
    """Return the folders in a folder by their names in lower case, sorted."""
    if not folder.is_dir():
        return {}
    return {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}


def pictures_in(folder: Path) -> list[Path]:
    """List the pictures in a folder, not below it, sorted, but for hidden ones."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if is_image_name(path) and not is_hidden(path.name) and path.is_file()
    )


def relative_to(base: Path, pictures: list[Path]) -> dict[str, Path]:
    """Name pictures by their paths below a folder, in POSIX style."""
    return {path.relative_to(base).as_posix(): path for path in pictures}
