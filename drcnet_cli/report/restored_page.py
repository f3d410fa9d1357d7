"""The page of `drcnet restore --report`: before and after, what failed, and how it was done."""

from collections.abc import Iterator, Sequence

from drcnet_cli.errors import DrcnetError
from drcnet_cli.files.plan import Job
from drcnet_cli.report.blocks import Block, Comparison, Facts, Table
from drcnet_cli.report.compare_page import choose_evenly
from drcnet_cli.report.pictures import read_for_display

PICTURES_SHOWN = 12


def page_subtitle(restored: int, finished: int, failed: int) -> str:
    """Count what was done, and say how much of it is shown."""
    parts = [f"{restored} restored"]
    if finished:
        parts.append(f"{finished} already there")
    if failed:
        parts.append(f"{failed} failed, listed below")
    done = restored + finished
    if done > PICTURES_SHOWN:
        parts.append(f"{PICTURES_SHOWN} of the {done}, evenly chosen, are shown")
    return f"{'; '.join(parts)}."


def page_blocks(
    jobs: Sequence[Job], failures: Sequence[tuple[str, str]], facts: Sequence[tuple[str, str]]
) -> Iterator[Block]:
    """Give a page's blocks, each picture read back from its files when its turn comes.

    `jobs` have their outputs; `failures` are files, and why. Pictures that cannot be read back are
    listed too.
    """
    unread: list[tuple[str, str]] = []
    for job in choose_evenly(jobs, PICTURES_SHOWN):
        try:
            yield _comparison(job)
        except (DrcnetError, ValueError) as error:  # removed or replaced in the meantime
            unread.append((str(job.destination), str(error)))
        except MemoryError:
            unread.append((str(job.destination), "It is too large for this machine's memory."))
    if failures:
        yield Table("Failed", ["File", "Reason"], failures)
    if unread:
        yield Table("Restored, but not shown", ["File", "Reason"], unread)
    yield Facts("About this run", facts)


def _comparison(job: Job) -> Comparison:
    before, after = read_for_display(job.source), read_for_display(job.destination)
    caption = f"{job.source} \N{RIGHTWARDS ARROW} {job.destination}"
    labels = ("Before", "After")
    return Comparison(job.destination.name, caption, before, after, None, labels)
