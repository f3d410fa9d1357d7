"""Writing a generated part into a page that is otherwise written by hand."""

from pathlib import Path

from drcnet_cli.files.atomic import atomic_write

BEGIN, END = "<!-- drcnet eval: begin -->", "<!-- drcnet eval: end -->"


def write_marked(path: Path, part: str, page: str) -> None:
    """Write `part` between the marks in the file; where it has none, `page` as the whole file.

    Raises OSError naming the file.
    """
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    head, begin, rest = before.partition(BEGIN)
    _, end, tail = rest.partition(END)
    whole = f"{head}{begin}\n{part}{end}{tail}" if begin and end else page
    with atomic_write(path) as temporary:
        temporary.write_text(whole, encoding="utf-8")
