"""Blocks as HTML, one after another."""

from collections.abc import Iterable, Iterator, Sequence
from functools import singledispatch

from drcnet_cli.report import histogram
from drcnet_cli.report.blocks import Block, Comparison, Facts, Histogram, Section, Table
from drcnet_cli.report.markup import isolated, looks_like_number, text
from drcnet_cli.report.viewer import draw_viewers


def draw(blocks: Iterable[Block], max_side: int) -> Iterator[str]:
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
        _row(row, numeric, number in block.highlighted) for number, row in enumerate(block.rows)
    )
    # Focusable, so that what is wider than the screen can be scrolled by keys.
    return (
        f"{_caption(block.caption)}"
        f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{name}"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _row(row: Sequence[str], numeric: Sequence[bool], highlighted: bool) -> str:
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
