"""Pictures read and written with everything that a restoration must not lose.

Everything about files ends here: the rest of the package sees float32 RGB in [0, 1]. Orientation
is applied, EXIF, ICC profile, resolution, XMP and alpha are carried, gray stays gray and 16 bits
stay 16 bits; what a format cannot hold is said, never dropped in silence.
"""

from drcnet_cli.imageio.decode import picture_from_image
from drcnet_cli.imageio.encode import picture_to_image
from drcnet_cli.imageio.floats import check_float_range
from drcnet_cli.imageio.formats import (
    SUPPORTED_SUFFIXES,
    format_for,
    format_suffix,
    is_image_name,
    parse_format,
    writable_formats,
)
from drcnet_cli.imageio.kinds import install_hint, is_unread_name, kind_of_name, unread_error
from drcnet_cli.imageio.pages import Pages, parse_pages
from drcnet_cli.imageio.picture import Metadata, Picture, from_unit, is_gray, to_planes
from drcnet_cli.imageio.read import read_picture
from drcnet_cli.imageio.several import Several, read_first, read_pictures
from drcnet_cli.imageio.transparency import keep_hidden, parse_colour, visible_pixels
from drcnet_cli.imageio.write import write_picture
from drcnet_cli.imageio.write_several import writing_several

__all__ = [
    "SUPPORTED_SUFFIXES",
    "Metadata",
    "Pages",
    "Picture",
    "Several",
    "check_float_range",
    "format_for",
    "format_suffix",
    "from_unit",
    "install_hint",
    "is_gray",
    "is_image_name",
    "is_unread_name",
    "keep_hidden",
    "kind_of_name",
    "parse_colour",
    "parse_format",
    "parse_pages",
    "picture_from_image",
    "picture_to_image",
    "read_first",
    "read_picture",
    "read_pictures",
    "to_planes",
    "unread_error",
    "visible_pixels",
    "writable_formats",
    "write_picture",
    "writing_several",
]
