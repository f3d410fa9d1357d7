"""Tar shards in WebDataset's layout: pictures taken out of one, and put back into another.

A member's name is a sample's key, up to the first dot of its last part, and what it is of it
(`0001.jpg`, `0001.json`). No name in a shard becomes a file's name here.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from drcnet_cli.errors import ImageError
from drcnet_cli.files.addresses import Place
from drcnet_cli.files.discover import IsImage, is_hidden

SUFFIX = ".tar"


@dataclass(frozen=True)
class Member:
    """A picture of a shard: its name there, its key, and the file that holds it here."""

    name: str
    key: str
    file: Path


def is_shard(place: Place) -> bool:
    """Tell whether a file's name is a shard's."""
    return place.suffix.lower() == SUFFIX


def take_pictures(
    shard: Path, folder: Path, name: str, is_image: IsImage, largest: int
) -> list[Member]:
    """Write a shard's pictures into a folder, by numbers, and return them in their order.

    A picture is what a sample calls `jpg`, `png` and so on; what it calls otherwise, as `seg.png`,
    is none. Raises ImageError, naming the shard `name`, for one that is no whole tar archive, or
    holds a picture of over `largest` bytes.
    """
    taken: list[Member] = []
    try:
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                key, ending = _parts(info.name)
                if not _is_file(info) or "." in ending or not is_image(Path(f"x.{ending}")):
                    continue
                if is_hidden(info.name.rpartition("/")[2]):
                    continue
                if info.size > largest:
                    raise ImageError(f"{name} holds a picture of {info.size / 2**30:.0f} GiB.")
                file = folder / f"{len(taken):08}.{ending}"
                with file.open("wb") as target:
                    for piece in _pieces(archive, info):
                        target.write(piece)
                taken.append(Member(info.name, key, file))
    except (tarfile.TarError, EOFError) as error:
        raise ImageError(
            f"{name} is no whole tar archive.", "Copy or download it again."
        ) from error
    return taken


def put_pictures(shard: Path, target: BinaryIO, made: dict[str, Path], left_out: set[str]) -> None:
    """Write a shard anew: `made` files in place of the members so named, all others carried over.

    A made file's ending, where it is another, becomes the member's. Samples whose keys are
    `left_out` are; so is what is no file, such as a link.
    """
    with (
        tarfile.open(shard, "r:") as archive,
        tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as written,
    ):
        for info in archive:
            if not _is_file(info) or _parts(info.name)[0] in left_out:
                continue
            if (file := made.get(info.name)) is None:
                written.addfile(info, archive.extractfile(info))
                continue
            stem, _, ending = info.name.rpartition(".")
            if file.suffix != f".{ending.lower()}":
                info.name = stem + file.suffix
            info.pax_headers = {}
            info.size = file.stat().st_size
            with file.open("rb") as source:
                written.addfile(info, source)


def _is_file(info: tarfile.TarInfo) -> bool:
    """Tell whether a member is a plain file: a sparse one is of any size, whatever the shard's."""
    return info.isreg() and not info.issparse()


def _parts(name: str) -> tuple[str, str]:
    """Return a member's key, with its folder, and what it is of that sample, in small letters."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return folder + slash + stem, ending.lower()


def _pieces(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    source = archive.extractfile(info)
    left = info.size
    while source is not None and left:
        piece = source.read(min(left, 2**22))
        if not piece:
            raise EOFError
        left -= len(piece)
        yield piece
