"""Colour spaces as numbers (CICP, ITU-T H.273): in PNG, AVIF and HEIC, without any profile.

A pair of primaries and transfer: 12, 13 is Display P3; 9, 16 is HDR (PQ).
"""

import struct

Cicp = tuple[int, int]
_BOX = b"colrnclx"
_SEARCHED = 2**16  # bytes; the boxes of metadata come first
# sRGB, or nothing said, which readers take for it.
_SRGB = {(1, 13), (1, 2), (2, 2), (2, 13)}
# Transfers of television, which readers of photographs take for sRGB's, too.
_TELEVISION = {1, 6, 14, 15}


def stated(primaries: int, transfer: int) -> Cicp | None:
    """Return the pair unless it is sRGB, which every reader assumes."""
    return None if (primaries, transfer) in _SRGB else (primaries, transfer)


def is_lost(cicp: Cicp | None) -> bool:
    """Tell whether colours change for readers that do not learn of the pair."""
    return cicp is not None and not (cicp[0] in (1, 2) and cicp[1] in _TELEVISION)


def of_boxes(data: bytes) -> Cicp | None:
    """Return what an AVIF file states."""
    at = data.find(_BOX, 0, _SEARCHED)
    if at < 0 or at + 12 > len(data):
        return None
    return stated(*struct.unpack_from(">HH", data, at + 8))


def with_boxes(encoded: bytes, cicp: Cicp) -> bytes:
    """Return an encoded AVIF file that states another pair; how its numbers are coded stays."""
    at = encoded.find(_BOX, 0, _SEARCHED)
    if at < 0:
        return encoded
    return encoded[: at + 8] + struct.pack(">HH", *cicp) + encoded[at + 12 :]
