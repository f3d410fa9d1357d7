"""The formats: names, suffixes, and what each can hold."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from drcnet_cli.errors import UsageError
from drcnet_cli.files.addresses import Place
from drcnet_cli.imageio.kinds import VIDEO, kind_of_name

_U8, _U16, _F32 = np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)


@dataclass(frozen=True)
class Format:
    """What a format that this package writes can hold.

    `name` is Pillow's. `types` from shallow to deep. `longest_side` in pixels. `frames` and
    `pages`: it holds animations, or pictures that follow each other without time.
    """

    name: str
    suffixes: tuple[str, ...]
    types: tuple[np.dtype, ...] = (_U8,)
    alpha: bool = False
    gray: bool = True
    exif: bool = False
    icc: bool = False
    dpi: bool = False
    xmp: bool = False
    longest_side: int = 2**31 - 1
    frames: bool = False
    pages: bool = False


_WRITERS = {
    writer.name: writer
    for writer in (
        Format(
            "PNG",
            (".png", ".apng"),
            (_U8, _U16),
            alpha=True,
            exif=True,
            icc=True,
            dpi=True,
            xmp=True,
            frames=True,
        ),
        Format(
            "JPEG",
            (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
            exif=True,
            icc=True,
            dpi=True,
            xmp=True,
            longest_side=65500,
        ),
        # WebP and AVIF keep resolution nowhere but in EXIF.
        Format(
            "WEBP",
            (".webp",),
            alpha=True,
            gray=False,
            exif=True,
            icc=True,
            xmp=True,
            longest_side=16383,
            frames=True,
        ),
        Format(
            "TIFF",
            (".tiff", ".tif"),
            (_U8, _U16, _F32),
            alpha=True,
            exif=True,
            icc=True,
            dpi=True,
            xmp=True,
            pages=True,
        ),
        Format("BMP", (".bmp", ".dib"), dpi=True),
        Format(
            "AVIF",
            (".avif",),
            alpha=True,
            gray=False,
            exif=True,
            icc=True,
            xmp=True,
            longest_side=65535,
        ),
        Format("JPEG2000", (".jp2", ".jpx"), alpha=True),
        Format("PPM", (".ppm", ".pgm", ".pnm"), (_U8, _U16)),
        Format("TGA", (".tga",), alpha=True, longest_side=65535),
        Format("GIF", (".gif",), alpha=True, icc=True, xmp=True, longest_side=65535, frames=True),
    )
}

# An explicit list, so that no decoder which runs programs or parses documents (EPS, PSD, FITS,
# WMF, ...) is reachable by renaming a file. Pillow takes a phone's MPO for a JPEG first.
_READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "AVIF", "JPEG2000", "PPM", "TGA")

# Names that are taken for pictures in a folder.
SUPPORTED_SUFFIXES = frozenset(
    {suffix for writer in _WRITERS.values() for suffix in writer.suffixes}
    | {".pbm", ".j2k", ".j2c"}
)

_BY_SUFFIX = {suffix: writer.name for writer in _WRITERS.values() for suffix in writer.suffixes}
# Formats whose first frame is a picture that another format holds.
_SAME_AS = {"MPO": "JPEG", "DIB": "BMP"}


def is_image_name(path: Place) -> bool:
    """Tell whether a file's name is that of a picture which can be read."""
    kind = kind_of_name(path)
    is_read = kind is not None and kind is not VIDEO and kind.is_read
    return is_read or path.suffix.lower() in SUPPORTED_SUFFIXES


def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read, without those this Pillow lacks."""
    Image.init()
    return tuple(name for name in _READABLE if name in Image.OPEN)


def writable_formats() -> tuple[str, ...]:
    """Return the names that `--format` takes, one a format, without those this Pillow lacks."""
    Image.init()
    return tuple(writer.suffixes[0][1:] for name, writer in _WRITERS.items() if name in Image.SAVE)


def writer_for(name: str) -> Format:
    """Return what a format (Pillow's name) can hold; raises UsageError if it cannot be written."""
    Image.init()
    if name not in _WRITERS or name not in Image.SAVE:
        raise UsageError(f"{name} pictures cannot be written.", _hint())
    return _WRITERS[name]


def is_writable(name: str | None) -> bool:
    """Tell whether a format (Pillow's name) can be written."""
    Image.init()
    return name in _WRITERS and name in Image.SAVE


def canonical(name: str | None) -> str | None:
    """Return Pillow's name of the format that a picture read as `name` is kept in."""
    return _SAME_AS.get(name, name) if name else name


def parse_format(name: str, option: str = "--format") -> str:
    """Return Pillow's name for a format that a user names ("jpg", "TIFF", ".png") by an option.

    Raises UsageError for one that cannot be written.
    """
    plain = name.lower().removeprefix(".")
    found = _BY_SUFFIX.get(f".{plain}", name.upper())
    if not is_writable(found):
        raise UsageError(f"{name!r} is not a format that can be written.", _hint(option))
    return found


def format_for(path: Place, asked: str | None = None) -> str:
    """Return Pillow's name of the format that an output is written in: `asked`, or its name's.

    Raises UsageError for one that cannot be written, for a name that says none where none is asked
    for, and for a name that would lie: `--format png` into a `.jpg`.
    """
    suffix = path.suffix.lower()
    if asked is not None:
        found = parse_format(asked)
        if is_image_name(path) and _BY_SUFFIX.get(suffix) != found:
            raise UsageError(
                f"The output {path} is to be {found}, but its name says otherwise.",
                f"Name it {path.with_suffix(format_suffix(asked))}, or leave out --format",
            )
        return found
    if not suffix:
        raise UsageError(
            f"The output {path} has no suffix to say its format.",
            f"{_hint()}; or end it with a slash, if it is to be a folder: {path}/",
        )
    if not is_writable(found := _BY_SUFFIX.get(suffix)):
        raise UsageError(f"{suffix} pictures cannot be written ({path}).", _hint())
    return str(found)


def format_suffix(name: str, option: str = "--format") -> str:
    """Return the suffix, with its dot, of files in a format that a user names by an option.

    Raises UsageError for one that cannot be written.
    """
    return _WRITERS[parse_format(name, option)].suffixes[0]


def _hint(option: str = "--format") -> str:
    return f"Use {option} with one of: {', '.join(writable_formats())}"
