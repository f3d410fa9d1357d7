"""A page of results: one HTML file that needs nothing else, works offline, prints, and obeys a CSP.

The pictures are in it, and its only script is the slider; without scripts they stand side by side.
Blocks are drawn one by one as they come, so that a page's pictures need not be in memory together.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from string import Template

from drcnet_cli.errors import ReportError, UsageError
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.report.blocks import Block, Comparison, Facts, Histogram, Section, Table
from drcnet_cli.report.drawing import draw
from drcnet_cli.report.markup import isolated, text
from drcnet_cli.version import __version__

__all__ = [
    "Block",
    "Comparison",
    "Facts",
    "Histogram",
    "Section",
    "Table",
    "check_page_path",
    "render_page",
    "write_page",
]

MAX_SIDE = 1280
_BLOCKS_GO_HERE = "<!-- blocks -->"


def render_page(
    title: str, blocks: Iterable[Block], *, subtitle: str = "", max_side: int = MAX_SIDE
) -> str:
    """Give the text of a page; pictures with a side longer than `max_side` are scaled down.

    What is scaled is said below the picture, and the part that differs most is shown unscaled.
    """
    return "".join(_pieces(title, blocks, subtitle, max_side))


def write_page(
    path: Path,
    title: str,
    blocks: Iterable[Block],
    *,
    subtitle: str = "",
    max_side: int = MAX_SIDE,
) -> None:
    """Write a page, whole or not at all, drawing each block as it is taken; see `render_page`.

    Raises ReportError if the file cannot be written, and UsageError for a name that is no page's.
    """
    check_page_path(path)
    try:
        with (
            atomic_write(path) as temporary,
            # The policy's hashes are of lines that end as they do here.
            temporary.open("w", encoding="utf-8", newline="\n") as file,
        ):
            file.writelines(_pieces(title, blocks, subtitle, max_side))
    except OSError as error:
        raise ReportError(
            f"The report {path} cannot be written: {error.strerror or error}.",
            "Name a file in a folder that may be written to",
        ) from error


def check_page_path(path: Path) -> None:
    """Raise UsageError unless a page can have this name, before any work is done for it."""
    if path.suffix.lower() not in {".html", ".htm"}:
        raise UsageError(f"The report {path} is not named as a page.", "Name it FILE.html")
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", f"Name a file in it: {path / 'report.html'}")


def _pieces(title: str, blocks: Iterable[Block], subtitle: str, max_side: int) -> Iterator[str]:
    head, _, foot = _frame(title, subtitle).partition(_BLOCKS_GO_HERE)
    yield head
    yield from draw(blocks, max_side)
    yield foot


def _frame(title: str, subtitle: str) -> str:
    """Give the page around the blocks."""
    style, script = _resource("page.css"), _resource("page.js")
    return Template(_resource("page.html")).substitute(
        policy=(
            f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
            f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
        ),
        version=text(__version__),
        title=text(title),
        heading=isolated(title),
        subtitle=f"<p>{text(subtitle)}</p>" if subtitle else "",
        style=style,
        script=script,
    )


@cache
def _resource(name: str) -> str:
    # A checkout may have given its lines other ends, which no hash would fit.
    data = resources.files("drcnet_cli.report").joinpath(name).read_text("utf-8")
    return data.replace("\r\n", "\n")


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
