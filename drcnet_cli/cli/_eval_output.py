"""What `drcnet eval` shows and writes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from drcnet_cli.cli._output import note, print_json, print_line, stdout_console
from drcnet_cli.cli._progress import Bar
from drcnet_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from drcnet_cli.evaluation.results import Evaluation
    from drcnet_cli.evaluation.session import Evaluator, Measurement


class EvalProgress:
    """Shows the data set and the number of pictures done; a context manager."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            shown=not quiet,
        )

    def __enter__(self) -> "EvalProgress":
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the bar."""
        self._bar.stop()

    def begin(self, plan: "Measurement") -> Callable[[int, int], None]:
        """Begin with a data set; give what its progress is told to."""
        if not self._quiet:
            count = len(plan.suite.cases)
            note(f"{plan.title}: {count} picture{'' if count == 1 else 's'}, {plan.suite.layout}")
        self.clear()
        row = self._bar.add_task(plan.title, total=len(plan.suite.cases))
        return lambda done, count: self._bar.update(row, completed=done, total=count)

    def clear(self) -> None:
        """Take away the finished data set's bar."""
        for row in self._bar.task_ids:
            self._bar.remove_task(row)

    def submission(self, plan: "Measurement", evaluator: "Evaluator", folder: Path | None) -> None:
        """Restore a data set without public targets, and write what its site takes.

        Raises UsageError without a folder to write to.
        """
        from drcnet_cli.evaluation.submission import write_bundle

        if folder is None or plan.benchmark is None:
            raise UsageError(
                f"The targets of {plan.title} are not public: its site scores what you submit.",
                "Add --out DIR for the files to submit",
            )
        if not evaluator.processes.main:
            return
        restorer = evaluator.restorer(plan.checkpoint, plan.task)
        written = write_bundle(
            plan.benchmark, plan.suite, restorer.restore, folder, self.begin(plan)
        )
        note(f"{plan.title}: no scores, as its targets are not public; to be submitted: {written}")


def print_evaluation(evaluation: "Evaluation", as_json: bool) -> None:
    """Print one data set's scores on standard output, and what went wrong on standard error."""
    from drcnet_cli.report import tables as scores

    for sentence in evaluation.failed:
        note(f"Error: {sentence}")
    if as_json:
        print_json(scores.to_record(evaluation))
        return
    shown = scores.rows(evaluation)
    cells = [row.cells() for row in shown]
    bold = [index for index, row in enumerate(shown) if row.ours]
    console = stdout_console()
    console.print(_rich_table(scores.heading(evaluation), scores.HEADER, cells, bold))
    console.print(f"  {scores.HEADER_NOTE}", markup=False, highlight=False, soft_wrap=True)
    for sentence in scores.remarks(evaluation):
        note(f"Note: {sentence}")
    for name, value in scores.facts(evaluation):
        console.print(f"  {name}: {value}", markup=False, highlight=False, soft_wrap=True)


def print_averages(evaluations: "Sequence[Evaluation]") -> None:
    """Print the averages over groups of data sets that are published."""
    from drcnet_cli.report import tables as scores

    for title, rows in scores.average_rows(evaluations):
        cells = [row.cells() for row in rows]
        stdout_console().print(_rich_table(title, scores.HEADER, cells, [len(rows) - 1]))


def _rich_table(
    title: str, header: Sequence[str], lines: Sequence[Sequence[str]], bold: Sequence[int]
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if 0 < number < len(header) - 1 else "left")
    for index, cells in enumerate(lines):
        table.add_row(*map(Text, cells), style="bold" if index in bold else "")
    return table


@dataclass(frozen=True)
class Files:
    """The files that were asked for."""

    csv: Path | None
    markdown: tuple[Path, ...]
    html: Path | None

    def check(self) -> None:
        """Raise UsageError now rather than after the work if a name cannot be a page's."""
        if self.html is not None:
            from drcnet_cli.report.page import check_page_path

            check_page_path(self.html)

    def write(
        self,
        measured: "Sequence[tuple[Measurement, Evaluation]]",
        evaluator: "Evaluator",
        command: str,
    ) -> None:
        """Write them; raises OSError naming one that cannot be written."""
        from drcnet_cli.files.atomic import atomic_write
        from drcnet_cli.report import tables as scores
        from drcnet_cli.report.marked import write_marked

        evaluations = [evaluation for _, evaluation in measured]
        if self.csv is not None:
            with atomic_write(self.csv) as temporary:
                temporary.write_text(scores.to_csv(evaluations), encoding="utf-8", newline="")
        for path in self.markdown:
            part = scores.overview_markdown(evaluations, command)
            write_marked(path, part, scores.to_markdown(evaluations, command))
        if self.html is not None:
            from drcnet_cli.report.evaluation_page import evaluation_blocks
            from drcnet_cli.report.page import write_page

            blocks = evaluation_blocks(measured, evaluator)
            write_page(self.html, "Evaluation", blocks, subtitle=command)


def list_benchmarks(as_json: bool) -> None:
    """List the data sets that can be measured."""
    from drcnet_cli.datasets.suite import BENCHMARKS, GROUPS

    groups = {
        name: [group for group, members in GROUPS.items() if name in members] for name in BENCHMARKS
    }
    if as_json:
        for name, item in BENCHMARKS.items():
            record = {
                "name": name,
                "title": item.title,
                "task": item.task,
                "pictures": item.count,
                "groups": groups[name],
                "where": item.where,
            }
            print_json(record)
        return
    for name, item in BENCHMARKS.items():
        belongs = f", in {', '.join(groups[name])}" if groups[name] else ""
        count = "" if item.count is None else f", {item.count} pictures"
        print_line(f"{name}: {item.title}, {item.task}{count}{belongs}")
        print_line(f"    {item.where}")
