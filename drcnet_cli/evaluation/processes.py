"""One evaluation shared by several processes, as `torchrun` or `accelerate launch` starts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from drcnet_cli import settings
from drcnet_cli.errors import import_extra

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process's place among `count`, from 0; `local` is its place on this machine."""

    index: int = 0
    count: int = 1
    local: int = 0

    @property
    def main(self) -> bool:
        """Whether this is the process that reports."""
        return self.index == 0

    def mine(self, items: Sequence[T]) -> list[tuple[int, T]]:
        """Return this process's share of items, with their numbers."""
        return [(n, item) for n, item in enumerate(items) if n % self.count == self.index]

    def gather(self, mine: list[Any]) -> list[Any]:
        """Return what all processes have, in each of them; every process must call it."""
        if self.count == 1:
            return mine
        from accelerate.utils import gather_object

        return gather_object(mine)

    def leave(self) -> None:
        """End what joins the processes, once all have come here: left open, it may abort them."""
        if self.count > 1:
            from accelerate import PartialState

            state = PartialState()
            state.wait_for_everyone()
            state.destroy_process_group()

    def device(self, wanted: str) -> str:
        """Name for each process of a machine a GPU of its own where `wanted` leaves that open."""
        if self.count == 1 or wanted not in ("auto", "cuda"):
            return wanted
        import torch

        return f"cuda:{self.local}" if torch.cuda.is_available() else wanted


def join_processes(device: str) -> Processes:
    """Join the other processes of this launch, if there are any.

    Raises UsageError if several were started and accelerate isn't installed.
    """
    if settings.launched_processes() <= 1:
        return Processes()
    problem = "Several processes were started, but accelerate, which joins them, isn't installed."
    state = import_extra("accelerate", "train", problem).PartialState(cpu=device == "cpu")
    return Processes(state.process_index, state.num_processes, state.local_process_index)
