"""Characters that a terminal or a page obeys rather than shows."""

import unicodedata

# Embeddings, overrides and isolates (UAX 9), which show gnp.exe as exe.png.
_TURNS_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_obeyed(character: str) -> bool:
    """Tell of control characters, line ends, halves of pairs, and what turns reading around."""
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNS_DIRECTION
    )
