"""Addresses of files elsewhere (`s3://`, `https://`, `zip://...::s3://...`), as values.

An `Address` answers to the names of a `Path` that planning uses, so that a plan may hold either
(`Place`). It is pure text: `files/remote.py` is what goes there.
"""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import unquote

from drcnet_cli.text import printable

# Two letters at least: C:// is a drive. A file:// address is a path (`spelling`).
_ADDRESS = re.compile(r"(?!file:)([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_WEB = ("http", "https")
_USER = re.compile(r"(?<=://)[^/]*@")
_ASKED = re.compile(r"[?#].*", re.DOTALL)
_IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]+://[^\s'\")>]+", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """Where a file or folder is that fsspec reaches; `str` gives it without secrets, to be shown.

    `size` in bytes and `time` of change in nanoseconds are what a listing told, if one did: they
    are no part of what it is.
    """

    url: str
    size: int | None = field(default=None, compare=False)
    time: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """Return the address without user names, passwords and signatures."""
        return printable(_shown(self.url))

    @property
    def scheme(self) -> str:
        """What stands before `://`, in small letters."""
        return self.url.partition("://")[0].lower()

    @property
    def is_web(self) -> bool:
        """Whether it is read by plain HTTP, which lists nothing."""
        return self.scheme in _WEB

    @property
    def path(self) -> str:
        """What stands between `://` and the container (`::`) or query, as it is written."""
        path = self.url.partition("://")[2].partition("::")[0]
        return _ASKED.sub("", path) if self.is_web else path

    @property
    def container(self) -> str:
        """`::` and the address of the archive that it lies in; empty for none."""
        _, separator, rest = self.url.partition("::")
        return separator + rest

    @property
    def root(self) -> "Address":
        """The address of the bucket, host or archive."""
        if self.container:
            return Address(f"{self.scheme}://{self.container}")
        return Address(f"{self.scheme}://{self.path.partition('/')[0]}")

    @property
    def name(self) -> str:
        """The last part of the path, decoded where an address of the web encodes it."""
        name = self.path.rstrip("/").rpartition("/")[2]
        return unquote(name) if self.is_web else name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The name's ending, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "Address":
        """The folder that it lies in, without a query."""
        return self._with_path(self.path.rstrip("/").rpartition("/")[0])

    def with_suffix(self, suffix: str) -> "Address":
        """Return the address with another ending."""
        return self.parent / (self.stem + suffix)

    def __truediv__(self, below: PurePath | str) -> "Address":
        """Return the address of what lies below this one."""
        path = self.path.rstrip("/")
        return self._with_path("/".join(filter(None, (path, PurePath(below).as_posix()))))

    def told(self, size: int | None, time: int | None) -> "Address":
        """Return the address with what a listing tells of it."""
        return replace(self, size=size, time=time)

    def below(self, folder: "Address") -> PurePosixPath | None:
        """Return its place below a folder; None if it does not lie there."""
        if (self.scheme, self.container) != (folder.scheme, folder.container):
            return None
        base = folder.path.rstrip("/")
        if base and not f"{self.path}/".startswith(f"{base}/"):
            return None
        return PurePosixPath(self.path[len(base) :].lstrip("/"))

    def _with_path(self, path: str) -> "Address":
        return Address(f"{self.scheme}://{path}{self.container}")


Place = Path | Address


def is_address(text: str) -> bool:
    """Tell whether a text is the address of something elsewhere; a file of that name is here."""
    return bool(_ADDRESS.match(text)) and not os.path.lexists(text)


def place_of(text: str) -> Place:
    """Return the address or path that a text is."""
    return Address(text) if is_address(text) else Path(text)


def without_secrets(text: str) -> str:
    """Return a text, such as an error's, with the secrets of all addresses in it left out."""
    return printable(_IN_TEXT.sub(lambda found: _shown(found[0]), text))


def _shown(url: str) -> str:
    return "::".join(map(_shown_piece, url.split("::")))


def _shown_piece(piece: str) -> str:
    """Return one address without user and password, and of the web without its query."""
    scheme = piece.partition("://")[0].lower()
    # Of Azure's and others' the part before @ is a container, of the web's a user.
    if scheme in _WEB or ":" in "".join(_USER.findall(piece)):
        piece = _USER.sub("", piece)
    return _ASKED.sub("?...", piece) if scheme in _WEB else piece
