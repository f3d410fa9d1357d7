"""A run over files, as values: how they are written, what becomes of each, who follows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from drcnet_cli.errors import DrcnetError, StorageError
from drcnet_cli.files.plan import Job
from drcnet_cli.imageio import Pages

if TYPE_CHECKING:
    from drcnet_cli.restore.restorer import RestorerFacts  # loads torch


@dataclass(frozen=True)
class WriteOptions:
    """How inputs are read and results encoded; None follows the output's name, else the input.

    `float_range`: the value of white in floating-point inputs, as `read_picture` takes it;
    `background`: the colour under transparency, as `write_picture` does. `keep_dates`: outputs get
    their input's time of change. `recipe`: what the journal of runs keeps beside each output (see
    `recipe`); None: outputs are not noted there. `pages`: which pictures of files of several.
    """

    format: str | None = None
    quality: int | None = None
    strip_metadata: bool = False
    float_range: float | None = None
    background: str | None = None
    keep_dates: bool = False
    recipe: str | None = None
    pages: Pages | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one file; `error` is None where it was restored.

    `megapixels` of the picture (0 if it could not be read), `seconds` of computing; `notes` are
    losses by the output's format. `status` where there is no error. `damage`: what seemed to be
    wrong, as a JSON record, where that is told. `strength`, `keep_grain`: of `RestoreConfig`.
    `pictures` in the file; the other numbers are of all of them.
    """

    job: Job
    megapixels: float = 0.0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: DrcnetError | None = None
    status: Literal["restored", "skipped", "planned"] = "restored"
    damage: dict[str, Any] | None = None
    strength: float = 1.0
    pictures: int = 1
    keep_grain: float = 0.0

    @property
    def disk_refused(self) -> bool:
        """Tell whether the disk is full or read-only, so that no other job need be begun."""
        return isinstance(self.error, StorageError)

    def record(self) -> dict[str, Any]:
        """Return the JSON record of this file."""
        return {
            "input": str(self.job.source),
            "output": str(self.job.destination),
            "status": "failed" if self.error else self.status,
            "megapixels": round(self.megapixels, 6),
            "seconds": round(self.seconds, 4),
            "notes": list(self.notes),
            "error": self.error.message if self.error else None,
            **({"damage": self.damage} if self.damage else {}),
            **({"strength": self.strength} if self.strength != 1 else {}),
            **({"pictures": self.pictures} if self.pictures != 1 else {}),
            **({"keep_grain": self.keep_grain} if self.keep_grain else {}),
            **({"mask": str(self.job.mask)} if self.job.mask else {}),
            **({"mask_out": str(self.job.mask_out)} if self.job.mask_out else {}),
        }


@dataclass
class RunObserver:
    """What a caller may follow; every call comes from the calling thread.

    `progress` gets the megapixels and the share of a picture just computed, `finished` each
    outcome, `opened` what restores, once it is there, `note` each change of plan. `waited` ends as
    the seconds in which the device had nothing to do, `facts` as what restored in the end.
    """

    progress: Callable[[float, float], None] = lambda _megapixels, _share: None
    finished: Callable[[Outcome], None] = lambda _: None
    opened: "Callable[[RestorerFacts], None]" = lambda _: None
    note: Callable[[str], None] = lambda _: None
    waited: float = 0.0
    facts: "RestorerFacts | None" = None
