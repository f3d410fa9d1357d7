"""Files of several pictures: animations and pages, read one picture at a time.

A file's bytes are read as they are needed, so that memory does not grow with their number.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from drcnet_cli.errors import ImageError
from drcnet_cli.files.addresses import Place
from drcnet_cli.imageio import apng, gif, png, tiff_pages, tiff_read, webp
from drcnet_cli.imageio.animation import Animation
from drcnet_cli.imageio.floats import check_float_range
from drcnet_cli.imageio.ifd import read_header
from drcnet_cli.imageio.lazy import FileBytes
from drcnet_cli.imageio.pages import Pages
from drcnet_cli.imageio.picture import Picture
from drcnet_cli.imageio.read import (
    decode_picture,
    finished,
    name_of,
    naming,
    opening,
    read_bytes,
)

Noun: TypeAlias = Literal["frame", "page"]


@dataclass
class Several:
    """Several pictures of one file, for one thread at a time; to be closed.

    `name`: the file's; `format` as in `Metadata`; `numbers`: which of its pictures they are, from
    1. Of an animation `plays` tells how often (0: for ever) and `seconds` how long each of the
    file's frames stays. `read` yields pictures by their numbers. `notes`: what is left out.
    """

    name: str
    format: str
    noun: Noun
    count: int
    numbers: Sequence[int]
    read: Callable[[Sequence[int]], Iterator[Picture]]
    file: BinaryIO
    damage: str = ""
    plays: int | None = None
    seconds: Sequence[Fraction] = field(default_factory=tuple)
    notes: tuple[str, ...] = ()
    float_range: float | None = None

    @property
    def is_animation(self) -> bool:
        """Tell whether the pictures follow each other in time."""
        return self.plays is not None

    def choose(self, pages: Pages | None) -> None:
        """Keep some of the pictures; raises ImageError for what is not there, or not whole."""
        with naming(self.name):
            if pages is not None:
                self.numbers = pages.choose(self.count, self.noun)
            elif self.damage:
                raise ImageError(
                    f"is damaged or cut off behind its {self.noun} {self.count} ({self.damage}).",
                    f"Copy or download it again, or take what is whole: --pages 1-{self.count}",
                )

    def __len__(self) -> int:
        """Pictures."""
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[Picture, Fraction]]:
        """Read one after the other, with the seconds that it stays (0: no animation).

        Raises ImageError naming the file.
        """
        pictures = self.read(self.numbers)
        for number in self.numbers:
            with naming(f"{self.name}, {self.noun} {number},"):
                picture = finished(next(pictures), self.float_range)
            yield picture, self.seconds[number - 1] if self.seconds else Fraction(0)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def read_pictures(
    source: Place | BinaryIO, *, pages: Pages | None = None, float_range: float | None = None
) -> Picture | Several:
    """Read a picture, or open a file of several; `pages`: some of them, or only one.

    Raises what `read_picture` does, and ImageError for pages that are not there.
    """
    check_float_range(float_range)
    name = name_of(source)
    file = _open(source, name)
    found = None
    try:
        with opening(name), naming(name):
            found = _find(file, name, float_range)
        if found is None:
            data = file.getvalue() if isinstance(file, BytesIO) else read_bytes(source, name)
            picture = decode_picture(data, name, float_range)
            with naming(name):
                if pages is not None:
                    pages.choose(1)
            return picture
        found.choose(pages)
        if len(found) > 1:
            file = None
            return found
        with closing(found):
            return next(iter(found))[0]
    finally:
        if file is not None:
            file.close()


def read_first(
    source: Place | BinaryIO, *, number: int = 1, float_range: float | None = None
) -> Picture:
    """Read the first picture of a file, or another; see `read_picture`."""
    pages = Pages(str(number), ((number, number),))
    picture = read_pictures(source, pages=pages, float_range=float_range)
    assert isinstance(picture, Picture)
    return picture


def _open(source: Place | BinaryIO, name: str) -> BinaryIO:
    """Open a file that can seek; what cannot is read."""
    if isinstance(source, Path):
        with opening(name):
            file = source.open("rb")
            if file.seekable():
                return file
            with file:
                return BytesIO(read_bytes(file, name))
    return BytesIO(read_bytes(source, name))


def _find(file: BinaryIO, name: str, float_range: float | None) -> Several | None:
    """Look for several pictures; None where there is one, or what it is cannot be told."""
    data = FileBytes(file)
    head = data[:12]
    try:
        if head.startswith(tiff_read.MAGIC):
            return _pages(data, file, name, float_range)
        if head.startswith(gif.MAGIC):
            animation = gif.read_animation(data)
        elif webp.is_webp(head):
            animation = webp.read_animation(data)
        elif head.startswith(png.MAGIC):
            animation = apng.read_animation(data)
        else:
            return None
    except (struct.error, ValueError):  # reading it as one picture says what is wrong
        return None
    return animation and _frames(animation, file, name)


def _frames(animation: Animation, file: BinaryIO, name: str) -> Several:
    return Several(
        name,
        animation.format,
        "frame",
        len(animation.regions),
        range(1, len(animation.regions) + 1),
        animation.frames,
        file,
        animation.damage,
        animation.plays,
        [region.seconds for region in animation.regions],
    )


def _pages(data: FileBytes, file: BinaryIO, name: str, float_range: float | None) -> Several | None:
    layout, first = read_header(data[:16])
    found = tiff_pages.list_pages(data, layout, first)
    if found is None:
        return None

    def read(numbers: Sequence[int]) -> Iterator[Picture]:
        for number in numbers:
            place = found.places[number - 1]
            yield tiff_read.read_tiff(tiff_pages.page_alone(data, layout, place))

    count = len(found.places)
    return Several(
        name,
        "TIFF",
        "page",
        count,
        range(1, count + 1),
        read,
        file,
        found.damage,
        notes=found.notes,
        float_range=float_range,
    )
