"""Text that came from somewhere else, such as a file, made fit to be shown: short, and harmless."""

import reprlib
import unicodedata

# Embeddings, overrides and isolates (UAX 9), which show gnp.exe as exe.png.
_TURNS_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def shorten(value: object, most: int = 60) -> str:
    """Return `repr` of a value from a file for a message: one line, `most` characters or so.

    Never fails and never shows control characters, whatever the file put there.
    """
    # Only the beginning is turned into text: a number of a million digits cannot be, and need not.
    if isinstance(value, (str, bytes)):
        text = repr(value[: most + 1])
    elif isinstance(value, int) and abs(value) >= 10**most:
        return f"a number of more than {most} digits"
    else:
        text = reprlib.repr(value)
    return text if len(text) <= most + 2 else f"{text[:most]}..."


def printable(text: str) -> str:
    """Return a text with each control character escaped, as a file's name may hold them.

    Everything else stays, joiners of emoji and of many scripts included.
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii") if is_control(character) else character
        for character in text
    )


def is_control(character: str) -> bool:
    """Tell whether a terminal or a page obeys a character rather than shows it.

    Such are control characters, line ends, bytes that are no text (halves of surrogate pairs), and
    marks that turn the direction of reading around.
    """
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNS_DIRECTION
    )
