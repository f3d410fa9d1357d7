"""Writing several pictures into one file, one at a time: whole or not at all."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from drcnet_cli.errors import ImageError
from drcnet_cli.files.addresses import Address, Place
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.files.remote import write_file
from drcnet_cli.imageio.apng import ApngWriter
from drcnet_cli.imageio.encode import encode
from drcnet_cli.imageio.formats import Format, format_for, parse_format, writer_for
from drcnet_cli.imageio.gif import GifWriter
from drcnet_cli.imageio.picture import Picture
from drcnet_cli.imageio.several import Several
from drcnet_cli.imageio.tiff_write import TiffWriter
from drcnet_cli.imageio.transparency import Colour, parse_colour
from drcnet_cli.imageio.webp import WebpWriter
from drcnet_cli.imageio.write import check_quality, fit, naming_output, stripped, write_all

_PIECE = 2**20


class _Container(Protocol):
    notes: list[str]

    def add(self, picture: Picture, seconds: Fraction, /) -> None: ...

    def close(self) -> None: ...


class SeveralWriter:
    """Takes pictures, with the seconds that each stays, in their order."""

    def __init__(
        self, container: _Container, writer: Format, name: str, strip: bool, colour: Colour | None
    ) -> None:
        self._container = container
        self._writer = writer
        self._name = name
        self._strip = strip
        self._colour = colour
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> list[str]:
        """What reading and the format made the pictures lose, each said once."""
        return list(dict.fromkeys((*self._notes, *self._container.notes)))

    def add(self, picture: Picture, seconds: Fraction) -> None:
        """Write the next picture; raises ImageError if the format cannot hold it, OSError."""
        with naming_output(self._name, self._writer.name):
            if self._strip:
                picture = replace(picture, metadata=stripped(picture.metadata))
            fitted, notes = fit(picture, self._writer, self._colour)
            self._container.add(fitted, seconds)
        self._notes |= dict.fromkeys((*picture.metadata.notes, *notes))

    def close(self) -> None:
        """Write what comes last; raises as `add` does."""
        with naming_output(self._name, self._writer.name):
            self._container.close()


@contextmanager
def writing_several(
    several: Several,
    destination: Place | BinaryIO,
    *,
    format: str | None = None,
    quality: int | None = None,
    strip_metadata: bool = False,
    background: str | None = None,
    before_replace: Callable[[Path], None] | None = None,
) -> Iterator[SeveralWriter]:
    """Yield what takes the pictures; the file is there when the block ends normally.

    The arguments are those of `write_picture`. Raises what it does, and ImageError for a format
    that cannot hold the pictures.
    """
    check_quality(quality)
    colour = None if background is None else parse_colour(background)
    writer = _writer_for(several, destination, format)
    name = str(destination) if isinstance(destination, Place) else "The output"
    with _target(destination, before_replace) as file:
        container = _container(several, file, writer, quality)
        taker = SeveralWriter(container, writer, name, strip_metadata, colour)
        yield taker
        taker.close()


def _writer_for(several: Several, destination: Place | BinaryIO, asked: str | None) -> Format:
    """Choose the format; raises ImageError for one that cannot hold the pictures."""
    if isinstance(destination, Place):
        writer = writer_for(format_for(destination, asked))
    else:
        writer = writer_for(several.format if asked is None else parse_format(asked))
    if writer.pages or (writer.frames and several.is_animation):
        return writer
    what = f"{several.name} has {len(several)} {several.noun}s"
    if writer.frames:
        raise ImageError(
            f"{what}, and {writer.name} holds animations but no pages.",
            "Use --format tiff, or --pages 1 for the first",
        )
    others = "gif, webp or png" if several.is_animation else "tiff"
    raise ImageError(
        f"{what}, and {writer.name} holds one picture.",
        f"Use --format {others}, or --pages 1 for the first",
    )


def _container(several: Several, file: BinaryIO, writer: Format, quality: int | None) -> _Container:
    if writer.name == "TIFF":
        return _Paged(TiffWriter(file, len(several)), several)
    plays = several.plays or 0
    if writer.name == "GIF":
        return GifWriter(file, plays)
    if writer.name == "PNG":
        return ApngWriter(file, plays, len(several))
    return WebpWriter(file, plays, partial(encode, format="WEBP", quality=quality))


class _Paged:
    """Pages, which have no time: an animation's is left out, said."""

    def __init__(self, pages: TiffWriter, several: Several) -> None:
        self._pages = pages
        self.notes = ["TIFF has no time: durations left out"] if several.is_animation else []

    def add(self, picture: Picture, _seconds: Fraction) -> None:
        self._pages.add(picture)

    def close(self) -> None:
        """End; every page is whole already."""


@contextmanager
def _target(
    destination: Place | BinaryIO, before_replace: Callable[[Path], None] | None
) -> Iterator[BinaryIO]:
    """Yield a file that can seek, whose contents are the destination's when the block ends."""
    if isinstance(destination, Path):
        with atomic_write(destination, before_replace) as path, path.open("wb") as file:
            yield file
    elif isinstance(destination, Address):
        with tempfile.TemporaryDirectory(prefix="drcnet-") as folder:
            path = Path(folder) / "several"
            with path.open("wb") as file:
                yield file
            write_file(destination, path)
    else:
        with tempfile.TemporaryFile(prefix="drcnet-") as file:
            yield file
            file.seek(0)
            while piece := file.read(_PIECE):
                write_all(piece, destination)
