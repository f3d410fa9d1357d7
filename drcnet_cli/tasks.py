"""The task table: what can be removed, and what each task is called elsewhere."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One kind of degradation: `noun` is what is removed; `degradation` makes it synthetically."""

    name: str
    noun: str
    degradation: str


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("derain", "rain", "rain"),
        Task("denoise", "noise", "noise"),
        Task("deblur", "motion blur", "blur"),
    )
}
