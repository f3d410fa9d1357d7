"""JPEG files: everything around the pixels that Pillow passes over, and pictures without an end.

Kept from JPEG to JPEG: captions (IPTC), comments, extended XMP, and what phones put behind the
picture, gain maps and videos, with what announces them. Multi-picture directory: CIPA DC-007;
extended XMP: Adobe XMP Specification, part 3, 1.1.3.1.
"""

import struct
from dataclasses import replace
from hashlib import blake2b

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio import jpeg_segments as parts
from drcnet_cli.imageio import photoshop, xmp
from drcnet_cli.imageio.decode import DECODING_ERRORS, from_loaded, pillow_image, stored_orientation
from drcnet_cli.imageio.ifd import Layout, read_directory, read_header
from drcnet_cli.imageio.picture import Behind, Metadata, Picture, Resolution

MAGIC = b"\xff\xd8"
XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF, _ICC, _MPF, _GAIN_MAP = (
    b"Exif\0\0",
    b"ICC_PROFILE\0",
    b"MPF\0",
    b"urn:iso:std:iso:ts:21496:-1\0",
)
_JFIF, _JFXX, _ADOBE, _DUCKY = b"JFIF\0", b"JFXX\0", b"Adobe", b"Ducky"
# What is read elsewhere, or says how the pixels are stored.
_READ = {
    parts.APP0: (_JFIF, _JFXX),
    parts.APP1: (_EXIF, XMP_MARK, EXTENDED_XMP),
    parts.APP2: (_ICC, _MPF, _GAIN_MAP),
    parts.APP12: (_DUCKY,),
    parts.APP13: (photoshop.HEADER,),
    parts.APP14: (_ADOBE,),
}
_GAIN_MARKS = (b"hdrgm:", b"HDRGainMap", _GAIN_MAP)
_MP_ENTRIES = 0xB002
_MP_ENTRY = 16
_LARGEST_COMMENT = 65533
_BAND = 256  # rows


def read_jpeg(data: bytes) -> Picture:
    """Decode a JPEG file; raises ImageError for kinds that are not read, and Pillow's errors."""
    layout = parts.read_layout(data)
    _check_frame(layout, data)
    notes = []
    if layout.end is None:
        data = _with_end(layout, data)
        layout = parts.read_layout(data)
        notes.append("its end mark is missing, the picture is all there")
    image = pillow_image(data)
    if image.format not in ("JPEG", "MPO"):
        return from_loaded(image)
    picture = from_loaded(image)
    raw = Metadata(exif=image.info.get("exif"), xmp=image.info.get("xmp"))
    orientation = stored_orientation(raw)
    metadata = replace(picture.metadata, resolution=_resolution(image.info, orientation >= 5))
    metadata = _with_segments(metadata, layout, data, 2 <= orientation <= 8)
    picture.metadata = replace(metadata, notes=(*notes, *metadata.notes))
    return picture


def _check_frame(layout: parts.Layout, data: bytes) -> None:
    marker, bits = layout.frame(data) or (0, 8)
    help = "Convert it to a PNG or TIFF first."
    if kind := parts.other_frame(marker):
        raise ImageError(f"is a {kind} JPEG, which is not read.", help)
    if bits != 8:
        raise ImageError(f"is a JPEG of {bits} bits a channel; 8 are read.", help)


def _with_end(layout: parts.Layout, data: bytes) -> bytes:
    """Return the file with its end mark, if all of the picture is there; raises ValueError."""
    cut = ValueError("the file ends before its pixels do")
    if not parts.scans_are_complete(layout, data):
        raise cut
    whole, *filled = parts.endings(layout, data)
    try:
        pixels = _digest(whole)
        if any(_digest(ended) != pixels for ended in filled):
            raise cut
    except DECODING_ERRORS:
        raise cut from None
    return whole


def _digest(data: bytes) -> bytes:
    """Return what tells a JPEG's pixels from others: of large pictures, two would not fit."""
    image, digest = pillow_image(data, "JPEG"), blake2b()
    for top in range(0, image.height, _BAND):
        rows = image.crop((0, top, image.width, min(top + _BAND, image.height)))
        digest.update(rows.tobytes())
    return digest.digest()


def _resolution(info: dict, on_its_side: bool) -> Resolution:
    """Return the unit that the file states, and the pixels' shape where it states no size."""
    wide, high = info.get("jfif_density") or (0, 0)
    if on_its_side:
        wide, high = high, wide
    if info.get("jfif_unit") == 0 and wide and high and wide != high:
        return Resolution(aspect=(wide, high))
    return Resolution(unit="cm" if info.get("jfif_unit") == 2 else "inch")


def _with_segments(metadata: Metadata, layout: parts.Layout, data: bytes, turned: bool) -> Metadata:
    """Return the metadata with what the segments hold, and notes on what is left out."""
    resources = b"".join(layout.named(parts.APP13, photoshop.HEADER, data))
    comments = list(layout.named(parts.COM, b"", data))
    behind, notes = _behind(metadata, layout, data, turned)
    lost = _unknown_segments(layout, data)
    if any(layout.named(parts.APP2, _ICC, data)) and not metadata.icc:
        notes.append("its damaged colour profile was left out")
    if lost:
        notes.append(f"{', '.join(lost)} left out")
    packet = metadata.xmp
    extension = tuple(layout.named(parts.APP1, EXTENDED_XMP, data)) if packet else ()
    if packet and not _is_whole(extension):
        packet, before = xmp.without_extension(packet), packet
        if extension or packet != before:
            notes.append("its damaged extended XMP was left out")
        extension = ()
    if packet and behind is None:
        packet = xmp.without_announcements(packet)
    return replace(
        metadata,
        xmp=packet,
        xmp_extension=extension,
        photoshop=photoshop.carried(resources, turned) if resources else None,
        comment=b"\n".join(comments)[:_LARGEST_COMMENT] or None,
        behind=behind,
        notes=(*metadata.notes, *notes),
    )


def _unknown_segments(layout: parts.Layout, data: bytes) -> list[str]:
    """Name the segments that no reader here knows, once each."""
    names = []
    for segment in layout.segments:
        if not parts.APP0 <= segment.marker <= parts.APP0 + 15:
            continue
        if any(data.startswith(start, segment.start) for start in _READ.get(segment.marker, ())):
            continue
        is_signed = segment.marker == parts.APP11 and b"c2pa" in segment.body(data)
        name = f"its APP{segment.marker - parts.APP0} data"
        names.append("its content credentials (C2PA)" if is_signed else name)
    return list(dict.fromkeys(names))


def _is_whole(extension: tuple[bytes, ...]) -> bool:
    """Tell whether the parts of an extended XMP packet are all there: GUID, length, offset each."""
    if not extension or any(len(part) < 40 for part in extension):
        return False
    guid, (total,) = extension[0][:32], struct.unpack_from(">I", extension[0], 32)
    spans = sorted((struct.unpack_from(">I", part, 36)[0], len(part) - 40) for part in extension)
    ends = [0, *(at + size for at, size in spans)]
    same = all(part[:36] == guid + struct.pack(">I", total) for part in extension)
    return same and ends[-1] == total and [at for at, _ in spans] == ends[:-1]


def _behind(
    metadata: Metadata, layout: parts.Layout, data: bytes, turned: bool
) -> tuple[Behind | None, list[str]]:
    """Return what lies behind the picture and is true of the restored one, and notes on the rest.

    Gain maps and depth maps fit the picture pixel by pixel, so that a turned one loses them.
    """
    tail = data[layout.end :]
    names = _names(metadata.xmp, tail, layout, data)
    if not tail.strip(b"\0"):
        return None, []
    maps = [name for name in names if name != "the video"]
    if not names:
        pictures = tail.count(b"\xff\xd8\xff")
        what = "further pictures" if pictures else f"{len(tail)} bytes"
        return None, [f"{what} behind the picture left out"]
    if maps and turned:
        return None, [f"{', '.join(names)} behind the picture left out, as it was turned upright"]
    directory = next(layout.named(parts.APP2, _MPF, data), None)
    segments = [_GAIN_MAP + body for body in layout.named(parts.APP2, _GAIN_MAP, data)]
    rebased = None
    if directory is not None:
        start = next(s.start for s in layout.segments if data.startswith(_MPF, s.start))
        rebased = _moved(directory, start + len(_MPF) - (layout.end or 0), len(tail))
    return Behind(tail, tuple(names), tuple(segments), rebased), []


def _names(packet: bytes | None, tail: bytes, layout: parts.Layout, data: bytes) -> list[str]:
    """Name what is behind the picture, as far as anything announces it."""
    announced = xmp.announces(packet)
    has_pictures = b"\xff\xd8\xff" in tail
    names = []
    is_gain = any(mark in tail or mark in (packet or b"") for mark in _GAIN_MARKS)
    if has_pictures and (is_gain or any(layout.named(parts.APP2, _GAIN_MAP, data))):
        names.append("the HDR gain map")
    elif has_pictures and announced and b"Directory" in (packet or b""):
        names.append("further pictures")
    if b"ftyp" in tail and (announced or tail[4:8] == b"ftyp" or tail.endswith(b"SEFT")):
        names.append("the video")
    return names


def _moved(directory: bytes, by: int, room: int) -> bytes | None:
    """Return a multi-picture directory whose offsets count from `by` further on.

    None if it is damaged, or a picture would start outside `room` bytes from there.
    """
    changed = bytearray(directory)
    try:
        layout, first = read_header(changed)
        places = list(_entries(changed, layout, first))
        for place in places[1:]:
            (offset,) = struct.unpack_from(layout.order + "I", changed, place + 8)
            if not 0 <= offset + by < room:
                return None
            struct.pack_into(layout.order + "I", changed, place + 8, offset + by)
    except (struct.error, ValueError, KeyError):
        return None
    return bytes(changed)


def _entries(directory: bytes | bytearray, layout: Layout, first: int) -> range:
    found = read_directory(directory, layout, first).fields[_MP_ENTRIES]
    return range(found.at, found.at + len(found.raw) // _MP_ENTRY * _MP_ENTRY, _MP_ENTRY)


def extra_segments(metadata: Metadata) -> bytes:
    """Return the segments that Pillow does not write by itself."""
    extra = b""
    if metadata.xmp:
        extra += parts.segments_bytes(parts.APP1, XMP_MARK, metadata.xmp)
    for part in metadata.xmp_extension:
        extra += parts.segments_bytes(parts.APP1, EXTENDED_XMP, part)
    if metadata.photoshop:
        extra += parts.segments_bytes(parts.APP13, photoshop.HEADER, metadata.photoshop)
    if behind := metadata.behind:
        for segment in behind.segments:
            extra += parts.segments_bytes(parts.APP2, b"", segment)
        if behind.directory:
            extra += parts.segments_bytes(parts.APP2, _MPF, behind.directory)
    return extra


def finished(encoded: bytes, metadata: Metadata) -> bytes:
    """Return Pillow's file with the resolution's own unit and with what belongs behind it."""
    changed = bytearray(encoded)
    layout = parts.read_layout(encoded)
    resolution, dpi = metadata.resolution, metadata.dpi
    density = None
    if resolution.aspect:
        density = (0, *resolution.aspect)
    elif resolution.unit == "cm" and dpi:
        density = (2, *(max(1, round(side / 2.54)) for side in dpi))
    first = layout.segments[0]
    if density and encoded.startswith(_JFIF, first.start) and max(density) <= 65535:
        struct.pack_into(">BHH", changed, first.start + 7, *map(int, density))
    behind = metadata.behind
    if behind is None:
        return bytes(changed)
    start = next((s.start for s in layout.segments if encoded.startswith(_MPF, s.start)), None)
    if start is not None and behind.directory:
        header = start + len(_MPF)
        moved = bytearray(_moved(behind.directory, len(encoded) - header, 2**32) or b"")
        if moved:
            order, at = read_header(moved)
            struct.pack_into(
                order.order + "I", moved, _entries(moved, order, at)[0] + 4, len(encoded)
            )
            changed[header : header + len(moved)] = moved
    return bytes(changed) + behind.data
