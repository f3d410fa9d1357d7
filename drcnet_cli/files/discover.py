"""Images below a command's inputs: files, folders and patterns expanded, everything else counted.

* A lone file is always tried, whatever its name. Elsewhere hidden and non-image files are passed
  over, those among several named files too: the shell may have expanded a pattern to them.
* Folders are searched to any depth and through symbolic links, but not through one to a folder
  above it.
* A pattern (`*`, `**`, `?`, `[..]`, `{jpg,png}`) that the shell left alone is expanded here, and so
  are `~` and `file://` addresses. A file or folder of that very name wins, also as a leading part
  of a pattern: `shots [1]/*.jpg`.
* The output folder is never read, so that it may lie inside an input folder.
* Addresses (`s3://...`) go by the same rules, and are listed by one request each.
"""

import difflib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from drcnet_cli.errors import UsageError
from drcnet_cli.files.addresses import Address, Place, is_address
from drcnet_cli.files.packed import Packed
from drcnet_cli.files.remote import safe_place
from drcnet_cli.files.remote_search import search_address
from drcnet_cli.files.spelling import MAGIC, MAGIC_IN_PART, alternatives, as_meant, how_meant

_STARS = re.compile(r"\*{2,}")
_DIGITS = re.compile(r"(\d+)")
# What macOS, Synology and Windows keep beside the user's files without a leading dot.
_HIDDEN_NAMES = {"__macosx", "@eadir", "$recycle.bin", "thumbs.db", "desktop.ini"}

_KINDS = ("file", "pattern")

IsImage = Callable[[Place], bool]
FolderId = tuple[int, int]


class FoundImage(NamedTuple):
    """An image's path as the user would spell it, and its place below an output folder."""

    source: Place
    place: Path


@dataclass(frozen=True)
class PassedOver:
    """How many things were left alone, by reason; a hidden folder is one thing.

    `special` counts dangling links, links to a folder above them, pipes, sockets and devices, and
    objects whose names no file below a folder can have.
    """

    hidden: int = 0
    not_images: int = 0
    special: int = 0

    @property
    def total(self) -> int:
        """Sum over all reasons."""
        return self.hidden + self.not_images + self.special


@dataclass(frozen=True)
class Discovery:
    """What lies below the inputs: in their order, below each naturally sorted (`a2`, `a10`).

    `lone_file`: the one input names a file. `lone_match`: the one input is a pattern, and one image
    matches. `unreadable` are folders that could not be listed, `unread` pictures of a kind that
    cannot be read here: left out, but no strangers.
    """

    images: Sequence[FoundImage]
    lone_file: bool
    lone_match: bool
    passed_over: PassedOver
    unreadable: tuple[Path, ...]
    unread: tuple[Place, ...] = ()


def no_file(_: Place) -> bool:
    """Match no file's name."""
    return False


def discover(
    inputs: Sequence[str],
    is_image: IsImage,
    output: str | None = None,
    is_unread: IsImage = no_file,
) -> Discovery:
    """List the images below `inputs`, never entering the folder `output`.

    A file's place is its name, a lone folder's images keep their place below it, a folder's among
    several inputs also its name, a pattern's matches their place below its fixed part.

    Raises `UsageError` for an input that is missing, matches nothing, is neither file nor folder,
    or, alone, is the output folder; RemoteError for an address that cannot be listed.
    """
    several = len(inputs) > 1
    lone_file = lone_pattern = False
    search = _Search(is_image, is_unread, output)
    for given in inputs:
        if not given:
            raise UsageError("An input is empty.", "Name a file or a folder; . is this folder.")
        if is_address(given):
            kind = search.add_address(Address(given), several)
            lone_file, lone_pattern = (not several and kind == which for which in _KINDS)
            continue
        text = as_meant(given)
        if os.path.lexists(text):
            path = Path(text)
            is_folder = _is_folder(path)
            lone_file = not several and not is_folder
            search.add_named(path, is_folder, several)
        elif MAGIC.search(text):
            lone_pattern = not several
            search.add_pattern(text, given)
        else:
            raise _missing(text, given)
    return Discovery(
        images=search.images,
        lone_file=lone_file,
        lone_match=lone_pattern and len(search.images) == 1,
        passed_over=PassedOver(**search.passed_over),
        unreadable=tuple(search.unreadable),
        unread=tuple(search.unread),
    )


class _Search:
    """Collects what one pass over the inputs finds."""

    def __init__(self, is_image: IsImage, is_unread: IsImage, output: str | None) -> None:
        self.images = Packed[FoundImage]()
        self.passed_over: Counter[str] = Counter()
        self.unreadable: list[Path] = []
        self.unread: list[Place] = []
        self._is_image = is_image
        self._is_unread = is_unread
        self._output = Address(output) if output and is_address(output) else None
        self._output_id = _folder_id(Path(output)) if output and self._output is None else None

    def add_address(self, address: Address, several: bool) -> str:
        """Take what an address leads to: a file, a folder, or what a pattern matches; say which."""
        kind, found = search_address(address)
        is_output = self._output is not None and address.below(self._output) == PurePosixPath()
        if kind == "folder" and is_output and not several:
            raise _is_input(address)
        above = Path(address.name) if several and kind == "folder" else Path()
        if kind == "file" and not several:  # is always tried, whatever its name
            name = safe_place(found[0][1])
            if name is None:
                raise UsageError(f"{address} has no name that a file can have.", "Name a file.")
            self.images.append(FoundImage(found[0][0], name))
        else:
            self._add_listed(found, above)
        return kind

    def _add_listed(self, listed: list[tuple[Address, str]], above: Path) -> None:
        """Take or count objects, each with its place in a listing; a hidden folder counts once."""
        hidden: set[tuple[str, ...]] = set()
        for address, place in sorted(listed, key=lambda found: _parts_key(found[1].split("/"))):
            path = safe_place(place)
            if self._output and address.below(self._output) is not None:
                continue
            if path is None:
                self.passed_over["special"] += 1
                continue
            first = next((n for n, part in enumerate(path.parts, 1) if is_hidden(part)), None)
            if first is not None:
                hidden.add(path.parts[:first])
            else:
                self._add_by_name(address, above / path)
        self.passed_over["hidden"] += len(hidden)

    def add_named(self, path: Path, is_folder: bool, several: bool) -> None:
        """Take an input that exists; among several, by its name."""
        has_name = path.name not in {"", ".."}
        name = path.name if has_name else path.resolve().name
        if not several and not is_folder:
            self.images.append(FoundImage(path, Path(name)))
        elif several and has_name and is_hidden(name):
            self.passed_over["hidden"] += 1
        elif not is_folder:
            self._add_file(path, Path(name))
        elif not self._is_output(path):
            self._walk(path, Path(name) if several else Path(), ())
        elif not several:
            raise _is_input(path)
        # Among several inputs the output comes from a pattern: `in/*` into in/out.

    def add_pattern(self, text: str, given: str) -> None:
        """Take what a pattern matches, each at its place below the pattern's fixed part."""
        base, matches = _matches(text)
        if not matches:
            hint = f"{how_meant(given)} Check the folder and the pattern."
            raise UsageError(f"Nothing matches {text}.", hint.lstrip())
        settled: set[Path] = set()  # folders whose contents need no second look
        is_output = cache(lambda folder: self._is_output(base / folder))
        for place in sorted(matches, key=lambda match: _parts_key(match.parts)):
            lineage = [*reversed(place.parents), place]
            hidden = next((part for part in lineage if is_hidden(part.name)), None)
            if not settled.isdisjoint(lineage):
                continue
            if hidden is not None:
                settled.add(hidden)
                self.passed_over["hidden"] += 1
            elif any(is_output(folder) for folder in lineage[1:-1]):
                continue
            elif (base / place).is_dir():
                settled.add(place)
                above = [_folder_id(base / part) for part in lineage[:-1]]
                self._walk(base / place, place, tuple(above))
            else:
                self._add_file(base / place, place)

    def _is_output(self, folder: Path) -> bool:
        return self._output_id is not None and _folder_id(folder) == self._output_id

    def _add_file(self, path: Path, place: Path) -> None:
        """Take or count one named file, known not to be hidden."""
        if not path.is_file():
            self.passed_over["special"] += 1
        else:
            self._add_by_name(path, place)

    def _add_by_name(self, path: Place, place: Path) -> None:
        """Take a file, known to be one, if its name is a picture's; else count it."""
        if self._is_image(path):
            self.images.append(FoundImage(path, place))
        elif self._is_unread(path):
            self.unread.append(path)
        else:
            self.passed_over["not_images"] += 1

    def _walk(self, folder: Path, place: Path, above: tuple[FolderId | None, ...]) -> None:
        """Take the images of a folder and of those in it; `above` identifies the ones around it."""
        # A stack, because folders may lie deeper than Python recurses.
        pending = [(folder, place, above)]
        while pending:
            folder, place, above = pending.pop()
            identity = _folder_id(folder)
            if identity is not None and identity == self._output_id:
                continue
            if identity is not None and identity in above:
                self.passed_over["special"] += 1
                continue
            try:
                with os.scandir(folder) as entries:
                    listed = sorted(entries, key=lambda entry: natural_key(entry.name))
            except OSError:
                self.unreadable.append(folder)
                continue
            folders = [entry.name for entry in listed if not self._add_entry(entry, folder, place)]
            inner = (*above, identity)
            pending += [(folder / name, place / name, inner) for name in reversed(folders)]

    def _add_entry(self, entry: os.DirEntry[str], folder: Path, place: Path) -> bool:
        """Take or count one thing in a folder; False for a subfolder, which is left to the walk."""
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # a link to itself
            is_folder = is_file = False
        if is_hidden(entry.name):
            self.passed_over["hidden"] += 1
        elif is_folder:
            return False
        elif not is_file:
            self.passed_over["special"] += 1
        else:
            self._add_by_name(folder / entry.name, place / entry.name)
        return True


def _is_input(output: Place) -> UsageError:
    return UsageError(
        f"The output folder {output} is the input folder.",
        "Give another output folder, or --in-place to replace the images.",
    )


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is hidden by its name, or kept by an operating system."""
    return name.startswith(".") or name.casefold() in _HIDDEN_NAMES


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts `a2` before `a10`, case aside."""
    pieces = _DIGITS.split(name.casefold())
    # Every second piece is a number, so that only like is compared with like.
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], name


def _parts_key(parts: Sequence[str]) -> list[tuple[list[str | int], str]]:
    return [natural_key(part) for part in parts]


def _folder_id(path: Path) -> FolderId | None:
    """Identify a folder whatever leads to it; None if it cannot be reached."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _matches(text: str) -> tuple[Path, set[Path]]:
    """Return a pattern's fixed leading folder and the places below it that match the rest."""
    parts = Path(text).parts
    base = Path()
    magic = MAGIC_IN_PART if alternatives(text) != [text] else MAGIC
    for index, part in enumerate(parts):
        if not magic.search(part) or os.path.lexists(base / part):
            base /= part
            continue
        if ".." in parts[index:]:
            raise UsageError(
                f"The pattern {text} goes up (..) after a wildcard.",
                "Put .. before the first wildcard.",
            )
        # Within a name ** is *, as in a shell; Python before 3.13 refuses it.
        matches: set[Path] = set()
        for rest in alternatives("/".join(parts[index:])):
            fixed = [part if part == "**" else _STARS.sub("*", part) for part in Path(rest).parts]
            if fixed and not Path(rest).is_absolute():
                matches.update(base.glob("/".join(fixed)))
        if text.endswith(("/", os.sep)):
            matches = {match for match in matches if match.is_dir()}
        return base, {match.relative_to(base) for match in matches}
    return base, set()


def _is_folder(path: Path) -> bool:
    """Tell a folder from a file; raises `UsageError` for anything else."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise UsageError(
            f"{path} is a link to {os.path.realpath(path)}, which does not exist.",
            "Name the file itself, or mend the link.",
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be opened: {error.strerror}.", "Check its permissions."
        ) from error
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise UsageError(
            f"{path} is neither a file nor a folder.", "To read a pipe, give - and pipe it in."
        )
    return stat.S_ISDIR(mode)


def _missing(text: str, given: str) -> UsageError:
    """Say which input does not exist, and which name nearby was perhaps meant."""
    if text.lower().startswith("file://"):
        return UsageError(f"{text} is not on this machine.", "Download it first, and name the file")
    path = Path(text)
    hint = f"Relative paths start at {Path.cwd()}."
    try:
        names = {other.name.casefold(): other for other in path.parent.iterdir()}
        if close := difflib.get_close_matches(path.name.casefold(), names, n=1):
            hint = f"Did you mean {names[close[0]]}?"
    except OSError:
        hint = f"The folder {path.parent} cannot be opened either."
    hint = f"{how_meant(given)} {hint}".lstrip()
    return UsageError(f"There is no file or folder {text}.", hint)
