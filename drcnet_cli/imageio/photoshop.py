"""Photoshop's image resources, in which JPEG and TIFF carry captions and keywords (IPTC).

Adobe Photoshop File Formats Specification, "Image Resource Blocks".
"""

import struct
from collections.abc import Iterator

HEADER = b"Photoshop 3.0\0"  # before them in a JPEG
_BLOCK = b"8BIM"
IPTC, _IPTC_DIGEST = 0x0404, 0x0425
# Thumbnails of the unrestored picture, and copies of what is carried elsewhere: profile, EXIF, XMP.
_LEFT_OUT = {0x0409, 0x040C, 0x040F, 0x0422, 0x0423, 0x0424}


def carried(resources: bytes, is_turned: bool) -> bytes | None:
    """Return the resources that are still true of the restored picture, None if there are none.

    Of a picture that is turned upright, only captions: paths and guides would lie elsewhere.
    """
    kept = b"".join(
        block
        for number, block in _blocks(resources)
        if number not in _LEFT_OUT and (not is_turned or number in (IPTC, _IPTC_DIGEST))
    )
    return kept or None


def has_iptc(resources: bytes) -> bool:
    """Tell whether captions are among them."""
    return any(number == IPTC for number, _ in _blocks(resources))


def _blocks(resources: bytes) -> Iterator[tuple[int, bytes]]:
    """Return the number and all bytes of every whole block; a damaged one ends them."""
    at = 0
    while resources.startswith(_BLOCK, at) and at + 12 <= len(resources):
        number, name = struct.unpack_from(">HB", resources, at + 4)
        start = at + 6 + (1 + name + (1 + name) % 2)
        if start + 4 > len(resources):
            return
        (size,) = struct.unpack_from(">I", resources, start)
        end = start + 4 + size
        if end > len(resources):
            return
        yield number, resources[at:end] + b"\0" * (size % 2)
        at = end + size % 2
