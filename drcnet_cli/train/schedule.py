"""What the share of the budget that is used up decides: patch and batch size, learning rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from drcnet_cli.errors import UsageError

_PHASES_HINT = (
    "Write phases as PATCHxBATCH:SHARE, such as 64x16:0.6,128x4:0.4; before them there may be "
    "PATCHxBATCH@STEP, up to a step"
)
_EVERY_HINT = "Write a number of steps, such as 500, or of minutes, such as 10m"


@dataclass(frozen=True)
class Phase:
    """One part of the training: square crops of `patch` pixels, `batch` of them a process.

    `until`: share of the budget, in [0, 1], at which the phase ends, but not before step
    `until_step`.
    """

    patch: int
    batch: int
    until: float
    until_step: int = 0


def parse_phases(text: str) -> tuple[Phase, ...]:
    """Read progressive sizes such as `64x16:0.6,128x4:0.4`; raises UsageError.

    Shares are relative to each other; left out, all are equal. A phase `64x2@500` before them lasts
    until step 500, however much of the budget that takes: many small steps are what gets a short
    run somewhere, and a long one hardly notices them.
    """
    first, _, rest = text.partition(",")
    size, at, step = first.strip().partition("@")
    if at:
        if not step.isdecimal() or ":" in size:
            raise UsageError(f"{first.strip()!r} is not a phase of training.", _PHASES_HINT)
        opening = replace(parse_phases(size)[0], until=0.0, until_step=int(step))
        return (opening, *parse_phases(rest))
    sizes: list[tuple[int, int]] = []
    shares: list[float] = []
    for item in text.split(","):
        size, _, share = item.strip().partition(":")
        patch, _, batch = size.partition("x")
        try:
            sizes.append((int(patch), int(batch)))
            shares.append(float(share or 1))
        except ValueError as error:
            raise UsageError(
                f"{item.strip()!r} is not a phase of training.", _PHASES_HINT
            ) from error
        if sizes[-1][0] < 8 or sizes[-1][1] < 1 or not 0 < shares[-1] < math.inf:
            raise UsageError(
                f"{item.strip()!r}: a phase needs patches of 8 pixels or more, a batch of 1 or "
                "more, and a positive share.",
                _PHASES_HINT,
            )
    ends = [math.fsum(shares[: n + 1]) / math.fsum(shares) for n in range(len(shares))]
    ends[-1] = 1.0
    return tuple(Phase(patch, batch, end) for (patch, batch), end in zip(sizes, ends, strict=True))


def phase_at(phases: Sequence[Phase], used: float, step: int) -> Phase:
    """Choose the phase after `step` steps and a share `used` of the budget; past it, the last."""
    return next(
        (phase for phase in phases if step < phase.until_step or used < phase.until), phases[-1]
    )


def learning_rate(used: float, peak: float, lowest: float, warmup: float) -> float:
    """Return the rate after a share `used` of the budget: linear warm-up, then half a cosine.

    The warm-up takes the share `warmup` of the budget and starts at `lowest`; without it, the
    whole is the cosine of the paper's section 4.1 (2e-4 to 1e-7).
    """
    if used < warmup:
        return lowest + (peak - lowest) * used / warmup
    progress = min(1.0, (used - warmup) / (1 - warmup))
    return lowest + (peak - lowest) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Every:
    """How often something is done: each `steps` steps, or each `minutes` minutes."""

    steps: int | None = None
    minutes: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Every":
        """Read `500` (steps) or `10m` (minutes); raises UsageError."""
        try:
            every = cls(minutes=float(text[:-1])) if text.endswith("m") else cls(steps=int(text))
        except ValueError as error:
            raise UsageError(f"{text!r} is not an interval.", _EVERY_HINT) from error
        if not 0 < (every.steps or every.minutes or 0) < math.inf:
            raise UsageError(f"{text!r} is not a positive interval.", _EVERY_HINT)
        return every


class Timer:
    """Tells when an `Every` is due; counts from where the run starts or resumes."""

    def __init__(self, every: Every, elapsed: float) -> None:
        self._every = every
        self._last = elapsed

    def due(self, step: int, elapsed: float) -> bool:
        """Tell whether it is time after `step` steps and `elapsed` seconds; if so, start anew."""
        if self._every.steps is not None:
            return step % self._every.steps == 0
        due = elapsed - self._last >= 60 * (self._every.minutes or 0)
        if due:
            self._last = elapsed
        return due
