"""What a page is made of: plain values, drawn by `drcnet_cli.report.html`.

Every text is shown as it is, never read as HTML: names of files may hold anything.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from drcnet_cli.imageio.folder import Pixels

BEFORE, AFTER, TARGET, DAMAGE = "before", "after", "target", "damage"
_DEFAULT_LABELS = {BEFORE: "Before", AFTER: "After", TARGET: "Target", DAMAGE: "Damage found"}


@dataclass(frozen=True)
class Section:
    """A heading for the blocks that follow, up to the next one."""

    title: str
    text: str = ""


@dataclass(frozen=True)
class Comparison:
    """Up to four pictures of one scene under a slider; H x W x 3, of one size.

    `labels` name the pictures that there are, in the order before, after, target, damage; without
    any they are called so. `damage` shows where the damage was found. Raises ValueError for
    pictures of another kind, of two sizes or wrongly labelled.
    """

    title: str
    caption: str
    before: Pixels | None
    after: Pixels
    target: Pixels | None
    labels: tuple[str, ...] = ()
    scores: Mapping[str, str] = field(default_factory=dict)
    damage: Pixels | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be laid over each other."""
        for pixels in self.pictures.values():
            if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
                raise ValueError(f"{self.title}: {pixels.shape} {pixels.dtype} is no 8-bit RGB.")
            if pixels.shape != self.after.shape or pixels.size == 0:
                raise ValueError(f"{self.title}: {pixels.shape} beside {self.after.shape}.")
        if self.labels and len(self.labels) != len(self.pictures):
            raise ValueError(f"{self.title}: {len(self.pictures)} pictures, labels {self.labels}.")

    @property
    def pictures(self) -> dict[str, Pixels]:
        """Return the pictures that there are, by their part: before, after, target, damage."""
        parts = {
            BEFORE: self.before,
            AFTER: self.after,
            TARGET: self.target,
            DAMAGE: self.damage,
        }
        return {part: pixels for part, pixels in parts.items() if pixels is not None}

    @property
    def names(self) -> dict[str, str]:
        """Return the label of each picture by its part."""
        if not self.labels:
            return {part: _DEFAULT_LABELS[part] for part in self.pictures}
        return dict(zip(self.pictures, self.labels, strict=True))


@dataclass(frozen=True)
class Table:
    """Rows of texts; columns of numbers are aligned as such.

    `highlighted`: the numbers of rows that stand out, such as the ones just measured.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    highlighted: Collection[int] = ()


@dataclass(frozen=True)
class Histogram:
    """How many pictures gained how much; values that are not finite are counted, not drawn."""

    title: str
    values: Sequence[float]
    unit: str
    caption: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and values: device, number type, checkpoint, version, ..."""

    title: str
    items: Sequence[tuple[str, str]]


Block: TypeAlias = Section | Comparison | Table | Histogram | Facts
