"""The libtiff that Pillow decodes with: kept from writing to the terminal.

It prints a line of its own for what it does not know or finds damaged, before Pillow raises the
error that is reported anyway. Nothing in Pillow turns that off; the library's own switch does.
"""

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path

import PIL


@cache
def silence_libtiff() -> None:
    """Take away libtiff's printing, if the library that Pillow uses can be found; once."""
    for path in _libraries():
        try:
            library = ctypes.CDLL(path)
            for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                switch = getattr(library, name)
                switch.argtypes, switch.restype = [ctypes.c_void_p], ctypes.c_void_p
                switch(None)
        except (OSError, AttributeError):
            continue


def _libraries() -> list[str]:
    """Return libtiff as Pillow's wheels carry it, else the system's."""
    package = Path(PIL.__file__).parent
    folders = (package.parent / "pillow.libs", package / ".dylibs")
    own = [str(path) for folder in folders for path in folder.glob("libtiff*")]
    found = ctypes.util.find_library("tiff") if not own else None
    return own or ([found] if found else [])
