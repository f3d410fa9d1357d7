"""Texts made safe for a page, and numbers made readable."""

import html
import re
import unicodedata

# With a sign, with a short unit; or a dash where there is none.
_NUMBER = re.compile(
    r"[-+\N{MINUS SIGN}]?(\d[\d,]*(\.\d+)?|inf|nan)( ?(%|[A-Za-z]{1,3}))?"
    r"|[-\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}]?"
)


def text(value: str) -> str:
    """Escape a text for HTML, inside elements and quoted attributes alike.

    What is no text (bytes of a file name, control characters) is shown as its escape.
    """
    shown = "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs"}
        else character.encode("unicode_escape").decode("ascii")
        for character in value
    )
    return html.escape(shown, quote=True)


def isolated(value: str) -> str:
    """Escape a text whose writing direction must not reach beyond it, such as a file's name."""
    return f"<bdi>{text(value)}</bdi>"


def number(value: float, decimals: int = 2) -> str:
    """Write a difference with its sign, as `+1.30`; zero has none."""
    shown = f"{value:+.{decimals}f}"
    return shown.lstrip("+-") if float(shown) == 0 else shown.replace("-", "\N{MINUS SIGN}")


def looks_like_number(value: str) -> bool:
    """Tell whether a table's cell belongs under the others by its digits; `31.20 dB` does, too."""
    return _NUMBER.fullmatch(value) is not None


def size(height: int, width: int) -> str:
    """Write a picture's size."""
    return f"{width} \N{MULTIPLICATION SIGN} {height}"
