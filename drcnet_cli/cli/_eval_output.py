"""What `drcnet eval` shows and writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from drcnet_cli.cli._output import note, print_json, print_line, print_table
from drcnet_cli.cli._progress import Bar
from drcnet_cli.errors import UsageError

if TYPE_CHECKING:
    from drcnet_cli.evaluation.results import Evaluation
    from drcnet_cli.evaluation.session import Evaluator, Measurement
    from drcnet_cli.progress import Progress
    from drcnet_cli.report.blocks import Table


class EvalProgress(Bar):
    """Shows the data set and the number of pictures done; a context manager."""

    def __init__(self, *, quiet: bool) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        super().__init__(*columns, TextColumn("left"), TimeRemainingColumn(), shown=not quiet)
        self._quiet = quiet

    def begin(self, plan: "Measurement") -> "Progress":
        """Begin with a data set; return what its progress is told to."""
        count, title = len(plan.suite.cases), plan.test_set.title
        if not self._quiet:
            note(f"{title}: {count} picture{'' if count == 1 else 's'}, {plan.suite.layout}")
        self.clear()
        return self.follow(title, count)

    def clear(self) -> None:
        """Take away the finished data set's bar."""
        for row in self.task_ids:
            self.remove_task(row)


def print_evaluation(evaluation: "Evaluation", quiet: bool, as_json: bool) -> None:
    """Print one data set's scores on standard output, and what went wrong on standard error.

    There, too, what a reader of the scores must know; not with `quiet`.
    """
    from drcnet_cli.evaluation import tables

    for sentence in evaluation.failed:
        note(f"Error: {sentence}")
    if as_json:
        print_json(tables.to_record(evaluation))
        return
    table = tables.score_table(evaluation, tables.heading(evaluation))
    _print_table(table)
    print_line(f"  {table.caption}")
    for sentence in tables.further_scores(evaluation):
        print_line(f"  {sentence}")
    for sentence in () if quiet else tables.remarks(evaluation):
        note(f"Note: {sentence}")
    for name, value in tables.facts(evaluation):
        print_line(f"  {name}: {value}")


def print_averages(evaluations: "Sequence[Evaluation]") -> None:
    """Print the averages over groups of data sets that are published."""
    from drcnet_cli.evaluation.tables import average_tables

    for table in average_tables(evaluations):
        _print_table(table)


def _print_table(table: "Table") -> None:
    numbers = range(1, len(table.header) - 1)
    print_table(
        table.header, table.rows, title=table.title, numbers=numbers, bold=table.highlighted
    )


@dataclass(frozen=True)
class Files:
    """The files that were asked for."""

    csv: Path | None
    markdown: tuple[Path, ...]
    html: Path | None

    def check(self) -> None:
        """Raise UsageError now rather than after the work for a file that must not be written."""
        if self.csv is not None:
            from drcnet_cli.files.writable import check_named

            check_named(self.csv, "a CSV file", ".csv")
        for path in self.markdown:
            from drcnet_cli.evaluation.tables import check_marked

            check_marked(path)
        if self.html is not None:
            from drcnet_cli.report.html import check_page_path

            check_page_path(self.html)

    def check_scored(self, plans: "Sequence[Measurement]") -> None:
        """Raise UsageError if there will be no scores to write, as no targets are public."""
        wanted = self.csv or self.markdown or self.html
        if wanted and not any(plan.test_set.public for plan in plans):
            raise UsageError(
                "Without public targets there are no scores to write.",
                "Leave out --csv, --markdown and --html",
            )

    def write(
        self,
        measured: "Sequence[tuple[Measurement, Evaluation]]",
        evaluator: "Evaluator",
        command: str,
    ) -> None:
        """Write them; raises OSError naming one that cannot be written."""
        from drcnet_cli.evaluation import tables
        from drcnet_cli.files.atomic import atomic_write

        evaluations = [evaluation for _, evaluation in measured]
        if self.csv is not None:
            with atomic_write(self.csv) as temporary:
                temporary.write_text(tables.to_csv(evaluations), encoding="utf-8", newline="")
        for path in self.markdown:
            part = tables.overview_markdown(evaluations, command)
            tables.write_marked(path, part, tables.to_markdown(evaluations, command))
        if self.html is not None:
            from drcnet_cli.evaluation.pages import evaluation_blocks
            from drcnet_cli.report.html import write_page

            blocks = evaluation_blocks(measured, evaluator)
            write_page(self.html, "Evaluation", blocks, subtitle=command)


def list_sets(as_json: bool) -> None:
    """List the data sets that can be measured."""
    from drcnet_cli.datasets.evaluation_sets import GROUPS, TEST_SETS

    for name, item in TEST_SETS.items():
        groups = [group for group, members in GROUPS.items() if name in members]
        if as_json:
            record = {
                "name": name,
                "title": item.title,
                "task": item.task,
                "pictures": item.count,
                "groups": groups,
                "where": item.where,
            }
            print_json(record)
            continue
        belongs = f", in {', '.join(groups)}" if groups else ""
        count = "" if item.count is None else f", {item.count} pictures"
        print_line(f"{name}: {item.title}, {item.task}{count}{belongs}")
        print_line(f"    {item.where}")
