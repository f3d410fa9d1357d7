"""Writing: the format chosen, what it cannot hold refused or said, the file whole or absent."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from drcnet_cli.errors import DrcnetError, ImageError, RemoteError, StorageError, UsageError
from drcnet_cli.files.addresses import Address, Place
from drcnet_cli.files.atomic import atomic_write, refusal
from drcnet_cli.files.remote import write_object
from drcnet_cli.imageio import gif
from drcnet_cli.imageio.cicp import is_lost
from drcnet_cli.imageio.encode import JPEG_EXIF_BYTES, JPEG_XMP_BYTES, encode
from drcnet_cli.imageio.formats import Format, format_for, is_writable, parse_format, writer_for
from drcnet_cli.imageio.ifd import private_names
from drcnet_cli.imageio.photoshop import has_iptc
from drcnet_cli.imageio.picture import Metadata, Picture, Resolution, rescale
from drcnet_cli.imageio.png import COLOUR_CHUNKS
from drcnet_cli.imageio.transparency import Colour, is_opaque, laid_on, parse_colour
from drcnet_cli.imageio.xmp import without_announcements, without_extension

_DEPTHS = {1: "8-bit", 2: "16-bit", 4: "floating point"}  # by bytes a value
_STANDARD_GAMMA = (45455).to_bytes(4, "big")  # sRGB's, which every reader assumes


def write_picture(
    picture: Picture,
    destination: Place | BinaryIO,
    *,
    format: str | None = None,
    quality: int | None = None,
    strip_metadata: bool = False,
    background: str | None = None,
    before_replace: Callable[[Path], None] | None = None,
) -> list[str]:
    """Write a picture whole or not at all; give what reading and the format made it lose.

    `format` ("jpg", "TIFF") decides, else the destination's name (which may not say another), else,
    for a stream, the format that the picture was read in (PNG if that is not written). `quality`
    1..100: JPEG (95, always 4:4:4), AVIF (90), WebP (lossless without it); other formats pass it
    over. `strip_metadata` leaves out EXIF, XMP, resolution and text, but not the colour profile,
    without which colours change. `background`: the colour that transparency is laid on where the
    format holds none; alpha that hides nothing is left out anyway. `before_replace`: as
    `atomic_write` takes it.

    Raises UsageError for a format, suffix or quality that cannot be, ImageError if the format
    cannot hold the picture (alpha, size) or the file cannot be written, StorageError if no other
    file could be written either.
    """
    check_quality(quality)
    colour = None if background is None else parse_colour(background)
    writer = writer_for(_choose_format(picture, destination, format))
    name = str(destination) if isinstance(destination, Place) else "The output"
    if strip_metadata:
        picture = replace(picture, metadata=stripped(picture.metadata))
    try:
        with naming_output(name, writer.name):
            fitted, notes = fit(picture, writer, colour)
            _write(fitted, destination, writer.name, quality, before_replace)
    except OSError as error:
        raise refusal(name, error) from error
    return [*picture.metadata.notes, *notes]


def check_quality(quality: int | None) -> None:
    """Raise UsageError for a quality that cannot be."""
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"--quality cannot be {quality}.", "Use a number from 1 to 100")


@contextmanager
def naming_output(name: str, format: str) -> Iterator[None]:
    """Let what encoders and formats refuse name the output; OSError passes."""
    try:
        yield
    except (UsageError, RemoteError, StorageError):
        raise
    except DrcnetError as error:
        raise ImageError(f"{name} {error.message}", error.hint) from error
    except (ValueError, RuntimeError, struct.error) as error:
        raise ImageError(f"{name} cannot be encoded as {format}: {error}.") from error


def _write(
    picture: Picture,
    destination: Place | BinaryIO,
    format: str,
    quality: int | None,
    before_replace: Callable[[Path], None] | None,
) -> None:
    if isinstance(destination, Path):
        with (
            atomic_write(destination, before_replace) as temporary,
            temporary.open("wb") as file,
        ):
            encode(picture, file, format, quality)
        return
    encoded = BytesIO()  # encoders seek, a stream need not
    encode(picture, encoded, format, quality)
    if isinstance(destination, Address):
        write_object(destination, encoded.getvalue())
        return
    write_all(encoded.getbuffer(), destination)


def write_all(data: bytes | memoryview, stream: BinaryIO) -> None:
    """Write to a stream; an unbuffered one (PYTHONUNBUFFERED) may take a part only."""
    left = memoryview(data)
    while left:
        left = left[stream.write(left) :]


def _choose_format(picture: Picture, destination: Place | BinaryIO, asked: str | None) -> str:
    if isinstance(destination, Place):
        return format_for(destination, asked)
    if asked is not None:
        return parse_format(asked)
    own = picture.metadata.format
    # Of GIF's 256 colours few would be a restored photograph's.
    return own if own and own != "GIF" and is_writable(own) else "PNG"


def stripped(metadata: Metadata) -> Metadata:
    """Return the metadata without which colours would change, and the notes."""
    colour = tuple(chunk for chunk in metadata.png_chunks if chunk[0] in COLOUR_CHUNKS)
    return Metadata(
        format=metadata.format,
        mode=metadata.mode,
        icc=metadata.icc,
        cicp=metadata.cicp,
        png_chunks=colour,
        float_white=metadata.float_white,
        notes=metadata.notes,
    )


def _without_alpha(
    picture: Picture, writer: Format, background: Colour | None
) -> tuple[Picture, list[str]]:
    """Return the picture without alpha, if the format holds none, and what that changed.

    Raises ImageError for alpha that hides something, without a background to show there.
    """
    if picture.alpha is None or writer.alpha:
        return picture, []
    if is_opaque(picture):
        return replace(picture, alpha=None), []
    if background is None:
        raise ImageError(
            f"would lose its transparency: {writer.name} holds none.",
            "Use --format png, or --background white",
        )
    pixels = laid_on(picture, background)
    note = f"transparency laid on #{bytes(background).hex()}, since {writer.name} holds none"
    return replace(picture, pixels=pixels, alpha=None), [note]


def fit(picture: Picture, writer: Format, background: Colour | None) -> tuple[Picture, list[str]]:
    """Return the picture as the format can hold it, and what was lost.

    Raises ImageError for alpha or sides that it cannot hold.
    """
    picture, notes = _without_alpha(picture, writer, background)
    if max(picture.width, picture.height) > writer.longest_side:
        raise ImageError(
            f"would be {picture.width} x {picture.height} pixels; {writer.name} ends at "
            f"{writer.longest_side} a side.",
            "Use --format png",
        )
    dtype = picture.pixels.dtype
    if dtype not in writer.types:
        deepest = writer.types[-1]
        notes.append(
            f"{_DEPTHS[dtype.itemsize]} reduced to {_DEPTHS[deepest.itemsize]}, "
            f"the deepest that {writer.name} holds"
        )
        alpha = None if picture.alpha is None else rescale(picture.alpha, deepest)
        picture = replace(picture, pixels=rescale(picture.pixels, deepest), alpha=alpha)
    if writer.name == "GIF":
        notes += gif.losses(picture)
    metadata, lost = _fit_metadata(picture, writer)
    if lost:
        notes.append(f"{writer.name} cannot hold {', '.join(lost)}: left out")
    return replace(picture, metadata=metadata), notes


def _fit_metadata(picture: Picture, writer: Format) -> tuple[Metadata, list[str]]:
    """Return the metadata that the format can hold, and the names of what it cannot."""
    metadata, lost = picture.metadata, []
    jpeg = writer.name == "JPEG"
    if metadata.exif and (not writer.exif or (jpeg and len(metadata.exif) > JPEG_EXIF_BYTES)):
        metadata, lost = (
            replace(metadata, exif=None),
            [*lost, "EXIF" if not writer.exif else "EXIF of more than 64 kB"],
        )
    if metadata.xmp and (not writer.xmp or (jpeg and len(metadata.xmp) > JPEG_XMP_BYTES)):
        metadata, lost = (
            replace(metadata, xmp=None),
            [*lost, "XMP" if not writer.xmp else "XMP of more than 64 kB"],
        )
    if not jpeg:
        metadata, lost = _without_jpegs_own(metadata, lost)
    metadata, lost = _without_what_few_hold(metadata, lost, writer.name)
    # A profile for gray says nothing about the RGB that some formats make of it.
    becomes_rgb = picture.pixels.shape[2] == 1 and not writer.gray
    if metadata.icc and (not writer.icc or (becomes_rgb and metadata.icc[16:20] == b"GRAY")):
        metadata, lost = replace(metadata, icc=None), [*lost, "the ICC profile"]
    if metadata.dpi and not writer.dpi:
        metadata, lost = replace(metadata, dpi=None), [*lost, "the resolution"]
    if metadata.png_chunks and writer.name != "PNG":
        lost += _png_losses(metadata.png_chunks)
        metadata = replace(metadata, png_chunks=())
    return metadata, lost


def _without_what_few_hold(
    metadata: Metadata, lost: list[str], format: str
) -> tuple[Metadata, list[str]]:
    """Return the metadata without what only two or three formats hold, and the names."""
    if metadata.photoshop and format not in ("JPEG", "TIFF"):
        what = "IPTC captions" if has_iptc(metadata.photoshop) else "Photoshop data"
        metadata, lost = replace(metadata, photoshop=None), [*lost, what]
    if metadata.cicp and format not in ("PNG", "AVIF"):
        pair = "/".join(map(str, metadata.cicp))
        lost = [*lost, f"the colour space (CICP {pair})"] if is_lost(metadata.cicp) else lost
        metadata = replace(metadata, cicp=None)
    if metadata.tiff_fields and format != "TIFF":
        lost = [*lost, *private_names(metadata.tiff_fields)]
        metadata = replace(metadata, tiff_fields=None)
    if metadata.resolution.aspect and format not in ("JPEG", "PNG", "TIFF"):
        metadata, lost = replace(metadata, resolution=Resolution()), [*lost, "the pixels' shape"]
    if metadata.comment and format not in ("JPEG", "PNG", "GIF"):
        metadata, lost = replace(metadata, comment=None), [*lost, "the comment"]
    return metadata, lost


def _without_jpegs_own(metadata: Metadata, lost: list[str]) -> tuple[Metadata, list[str]]:
    """Return the metadata without what only a JPEG holds, nor what announces it, and the names."""
    packet = metadata.xmp
    if metadata.xmp_extension:
        lost = [*lost, "the extended XMP"]
        packet = without_extension(packet) if packet else None
    if metadata.behind:
        lost = [*lost, *metadata.behind.names]
        packet = without_announcements(packet) if packet else None
    return replace(metadata, xmp=packet, xmp_extension=(), behind=None), lost


def _png_losses(chunks: tuple[tuple[bytes, bytes], ...]) -> list[str]:
    """Name what is lost with PNG's own chunks; stating sRGB, the default, is no loss."""
    kinds = {kind for kind, _ in chunks}
    odd_gamma = any(kind == b"gAMA" and body != _STANDARD_GAMMA for kind, body in chunks)
    lost = ["PNG text"] if kinds - COLOUR_CHUNKS else []
    if b"cICP" in kinds or (odd_gamma and b"sRGB" not in kinds):
        lost.append("PNG colour space")
    return lost
