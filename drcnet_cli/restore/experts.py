"""Whatever is wrong with a picture: an encoder looks, and a checkpoint made for that restores.

A picture with nothing wrong, or nothing that is certain, stays as it is.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from drcnet_cli.restore.diagnosis import Diagnosis, diagnose
from drcnet_cli.restore.mixing import blend
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.tasks import CERTAIN

Experts = Callable[[str, Callable[[str], None]], Restorer]


class LookingRestorer(Restorer):
    """A restorer that looks at each picture first; `diagnosis` is the last one's.

    `experts` opens the restorer of a task's own checkpoint, which is to tell its second argument of
    each change of plan; without it the network restores all pictures itself. `explain` has `remark`
    tell of each picture.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - Restorer's own
        experts: Experts | None = None,
        explain: bool = False,
        **settings: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **settings)
        self.diagnosis: Diagnosis | None = None
        self._open = experts
        self._experts: dict[str, Restorer] = {}
        self._explain = explain
        self._in_series = False
        self._first: Diagnosis | None = None  # of a series
        self._asked: list[Restorer] = []  # for the last picture

    def describe_tiles(self) -> str:
        """Say how images are cut, and that other checkpoints restore what they are made for."""
        by = ", or the checkpoint for what is wrong" if self._open is not None else ""
        return f"{super().describe_tiles()}{by}"

    def begin_series(self) -> None:
        """Restore the pictures that follow as the first of them needs it: others would flicker."""
        self._in_series, self._first = True, None

    def end_series(self) -> None:
        """Look at each picture again."""
        self._in_series, self._first = False, None

    def restore(
        self, pixels: np.ndarray, on_progress: Callable[[float], None] = lambda _: None
    ) -> np.ndarray:
        """Restore one picture as `Restorer.restore` does, by whatever suits it best."""
        found = self._first or diagnose(self.network, self.info, self.device, pixels)
        self._first = found if self._in_series else None
        self._asked = self._choose(found)
        names = tuple(restorer.info.name for restorer in self._asked)
        self.diagnosis = replace(found, restored_by=names)
        if not self._asked:
            on_progress(1.0)
            return pixels.copy()
        share, before = 1 / len(self._asked), pixels
        # Of several steps only the last one's result is mixed, with what the picture was at first.
        mixed_here = 1.0 if len(self._asked) == 1 else self.strength
        for restorer in self._asked:
            restorer.strength = self.strength if len(self._asked) == 1 else 1.0
            step = restorer.restore if restorer is not self else super().restore
            pixels = step(pixels, lambda part: on_progress(part * share))
        return blend(before, pixels, mixed_here)

    def remark(self) -> str:
        """Say what is amiss with the last picture, and what was seen in it.

        That is said when it is asked for, and where several things were wrong at once.
        """
        own = super().remark()
        remarks = [own if restorer is self else restorer.remark() for restorer in self._asked]
        if self.diagnosis is not None and (self._explain or len(self._asked) > 1):
            remarks.insert(0, self.diagnosis.describe())
        return "; ".join(filter(None, remarks))

    def damage(self) -> dict[str, Any] | None:
        """Return what was seen in the last picture, for JSON."""
        return self.diagnosis.record() if self.diagnosis is not None else None

    def _choose(self, found: Diagnosis) -> list[Restorer]:
        """Choose what restores the picture, in order; nothing where nothing is wrong."""
        if self._open is None:
            return [self]
        shares = found.by_task
        chosen = [task for task, least in CERTAIN.items() if shares.get(task, 0) >= least]
        return [self._expert(task) for task in chosen]

    def _expert(self, task: str) -> Restorer:
        assert self._open is not None
        if task not in self._experts:
            self._experts[task] = self._open(task, self._notify)
        return self._experts[task]
