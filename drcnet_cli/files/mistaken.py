"""What often lies where a picture or a checkpoint should: known by how it begins."""

GIT_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# A web page's or an XML error's beginning, once white space is skipped; tensors never have it.
_MARKUP = (b"<!doctype", b"<html", b"<?xml")


def is_markup(start: bytes) -> bool:
    """Tell whether a file's first bytes (64 are enough) are a web page's or an XML document's."""
    return start.lstrip().lower().startswith(_MARKUP)
