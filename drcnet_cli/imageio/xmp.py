"""What an XMP packet says of things outside it: orientation, and what lies behind the picture.

The packet stays as it was but for what would no longer be true. Names are found by the prefixes
that the packet itself declares for their namespaces.
"""

import re

_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:=["']|>))([0-9])""")
# Of phones: videos and pictures behind the picture, and gain maps there.
_ANNOUNCING = (
    b"http://ns.google.com/photos/1.0/camera/",
    b"http://ns.google.com/photos/1.0/container/",
    b"http://ns.google.com/photos/1.0/container/item/",
    b"http://ns.adobe.com/hdr-gain-map/1.0/",
    b"http://ns.apple.com/HDRGainMap/1.0/",
)
_EXTENDED = b"http://ns.adobe.com/xmp/note/"
# Of the camera's namespace only these speak of what is behind the picture.
# More are no camera's, and slow to look through.
_MOST_PREFIXES, _MOST_ELEMENTS = 4, 1000
_CAMERA_NAMES = rb"(?:MotionPhoto|MicroVideo)\w*"


def stored_orientation(xmp: bytes) -> int | None:
    """Return the orientation that a packet states, None if it states none."""
    match = _ORIENTATION.search(xmp)
    return int(match[2]) if match else None


def turned_upright(xmp: bytes) -> bytes:
    """Return the packet for the picture turned upright."""
    return _ORIENTATION.sub(rb"\g<1>1", xmp)


def announces(xmp: bytes | None) -> bool:
    """Tell whether a packet speaks of a gain map, video or picture behind its picture."""
    return xmp is not None and without_announcements(xmp) != xmp


def without_announcements(xmp: bytes) -> bytes:
    """Return the packet without what speaks of things behind the picture."""
    for namespace in _ANNOUNCING:
        names = _CAMERA_NAMES if namespace.endswith(b"/camera/") else rb"\w+"
        xmp = _without(xmp, namespace, names)
    return xmp


def without_extension(xmp: bytes) -> bytes:
    """Return the packet without its reference to an extension."""
    return _without(xmp, _EXTENDED, b"HasExtendedXMP")


def _without(xmp: bytes, namespace: bytes, names: bytes) -> bytes:
    """Take the attributes and elements of some names in a namespace out."""
    declared = re.findall(rb"""xmlns:(\w+)\s*=\s*["']""" + re.escape(namespace) + rb"""["']""", xmp)
    for prefix in list(dict.fromkeys(declared))[:_MOST_PREFIXES]:
        if xmp.count(b"<" + prefix + b":") > _MOST_ELEMENTS:
            continue
        name = re.escape(prefix) + b":" + names
        element = rb"<(" + name + rb")\b[^>]*?(?:/>|>.*?</\1\s*>)"
        xmp = re.sub(element, b"", xmp, flags=re.DOTALL)
        # From where a run of spaces begins alone: from each of many it would take minutes.
        attribute = rb"(?<!\s)\s+" + name + rb"""\s*=\s*(?:"[^"]*"|'[^']*')"""
        xmp = re.sub(attribute, b"", xmp)
    return xmp
