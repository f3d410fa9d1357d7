"""Loss and speed since the last look, without making the device wait for each."""

import time
from collections import deque
from typing import cast

import torch
from accelerate import Accelerator

_SHOW_EVERY = 0.5  # seconds
_WINDOW = 10.0  # seconds that the speed is taken over


class Meter:
    """Adds up losses on the device; `close` makes them a mean over steps and processes."""

    def __init__(self, device: torch.device) -> None:
        self.loss = float("nan")
        self.images = 0
        self._sum = torch.zeros((), device=device)
        self._count = torch.zeros((), device=device)
        self._shown = time.monotonic()
        self._marks = deque([(self._shown, 0)])  # times and images seen until then

    def add(self, loss: torch.Tensor) -> None:
        """Take in one step's loss."""
        self._sum += loss
        self._count += 1

    def close(self, accelerator: Accelerator) -> None:
        """Set `loss` to the mean since the last close; to be called in all processes at once."""
        both = accelerator.reduce(torch.stack([self._sum, self._count]), "sum")
        total, count = cast(torch.Tensor, both).tolist()
        self.loss = total / count if count else float("nan")
        self._sum.zero_()
        self._count.zero_()

    def stale(self) -> bool:
        """Tell whether it is time to show figures anew; sets `loss` from this process alone."""
        now = time.monotonic()
        if now - self._shown < _SHOW_EVERY:
            return False
        self._shown = now
        if count := float(self._count):
            self.loss = float(self._sum) / count
        return True

    def rate(self) -> float:
        """Give images per second, over the last seconds."""
        now = time.monotonic()
        while len(self._marks) > 1 and now - self._marks[1][0] > _WINDOW:
            self._marks.popleft()
        self._marks.append((now, self.images))
        since, images = self._marks[0]
        return (self.images - images) / (now - since) if now > since else 0.0

    def pause(self) -> None:
        """Leave the time until now, spent on something else, out of the speed."""
        self._marks = deque([(time.monotonic(), self.images)])
