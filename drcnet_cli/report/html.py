"""A page of results: one HTML file that needs nothing else, works offline, prints, and obeys a CSP.

The pictures are in it, and its only script is the slider; without scripts they stand side by side.
Blocks are drawn one by one as they come, so that a page's pictures need not be in memory together.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, singledispatch
from importlib import resources
from pathlib import Path
from string import Template

from drcnet_cli.errors import ReportError
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.files.writable import check_named
from drcnet_cli.report import histogram
from drcnet_cli.report.blocks import Block, Comparison, Facts, Histogram, Section, Table
from drcnet_cli.report.markup import isolated, looks_like_number, text
from drcnet_cli.report.slider import draw_viewers
from drcnet_cli.version import __version__

MAX_SIDE = 1280
_BLOCKS_GO_HERE = "<!-- blocks -->"


def render_page(
    title: str, blocks: Iterable[Block], *, subtitle: str = "", max_side: int = MAX_SIDE
) -> str:
    """Return the text of a page; pictures with a side longer than `max_side` are scaled down.

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
    check_named(path, "a page", ".html", ".htm")


def _pieces(title: str, blocks: Iterable[Block], subtitle: str, max_side: int) -> Iterator[str]:
    head, _, foot = _frame(title, subtitle).partition(_BLOCKS_GO_HERE)
    yield head
    yield from _draw(blocks, max_side)
    yield foot


def _frame(title: str, subtitle: str) -> str:
    """Return the page around the blocks."""
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


def _draw(blocks: Iterable[Block], max_side: int) -> Iterator[str]:
    """Draw blocks as they come; headings of those below a section are one level lower."""
    level = 2
    for number, block in enumerate(blocks, 1):
        name = f"block-{number}"
        if isinstance(block, Section):
            level = 3
            kind, tag, body = "heading", "h2", f"<p>{text(block.text)}</p>" if block.text else ""
        else:
            kind, tag = type(block).__name__.lower(), f"h{level}"
            body = _body(block, name, level, max_side)
        yield (
            f'<section class="{kind}" aria-labelledby="{name}">\n'
            f'<{tag} id="{name}">{isolated(block.title)}</{tag}>\n{body}\n</section>\n'
        )


@singledispatch
def _body(block: Block, name: str, level: int, max_side: int) -> str:
    """Draw what stands below a block's heading."""
    raise TypeError(f"A page cannot hold a {type(block).__name__}.")


@_body.register
def _(block: Comparison, name: str, level: int, max_side: int) -> str:
    return _caption(block.caption) + _scores(block) + draw_viewers(block, level + 1, max_side)


@_body.register
def _(block: Facts, name: str, level: int, max_side: int) -> str:
    rows = (f"<dt>{text(key)}</dt><dd>{isolated(value)}</dd>" for key, value in block.items)
    return f"<dl>{''.join(rows)}</dl>"


@_body.register
def _(block: Histogram, name: str, level: int, max_side: int) -> str:
    values = histogram.finite(block)
    said = _caption(histogram.summarise(block, values))
    return _caption(block.caption) + histogram.draw(block, name) + said


@_body.register
def _(block: Table, name: str, level: int, max_side: int) -> str:
    columns = list(zip(*block.rows, strict=True)) or [()] * len(block.header)
    # The first column holds the rows' names, be they numbers.
    numeric = [place > 0 and all(map(looks_like_number, c)) for place, c in enumerate(columns)]
    head = "".join(
        f'<th scope="col"{_aligned(flag)}>{text(cell)}</th>'
        for cell, flag in zip(block.header, numeric, strict=True)
    )
    rows = "\n".join(
        _table_row(row, numeric, number in block.highlighted)
        for number, row in enumerate(block.rows)
    )
    # Focusable, so that what is wider than the screen can be scrolled by keys.
    return (
        f"{_caption(block.caption)}"
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{name}"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _table_row(row: Sequence[str], numeric: Sequence[bool], highlighted: bool) -> str:
    first, *others = (
        f"{_aligned(flag)}>{isolated(cell)}" for cell, flag in zip(row, numeric, strict=True)
    )
    start = '<tr class="highlighted">' if highlighted else "<tr>"
    return f'{start}<th scope="row"{first}</th>{"".join(f"<td{cell}</td>" for cell in others)}</tr>'


def _aligned(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _caption(caption: str) -> str:
    return f'<p class="caption">{text(caption)}</p>\n' if caption else ""


def _scores(block: Comparison) -> str:
    if not block.scores:
        return ""
    items = (
        f"<div><dt>{text(name)}</dt><dd>{text(score)}</dd></div>"
        for name, score in block.scores.items()
    )
    return f'<dl class="scores">{"".join(items)}</dl>\n'


@cache
def _resource(name: str) -> str:
    # A checkout may have given its lines other ends, which no hash would fit.
    data = resources.files("drcnet_cli.report").joinpath(name).read_text("utf-8")
    return data.replace("\r\n", "\n")


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
