"""Kinds of damage in an encoder's latent space: which one is a picture's nearest?

An encoder turns a picture into C numbers. In the few directions in which the kinds lie farthest
apart, measured by how far the pictures of one kind scatter (linear discriminant analysis; Fisher
1936), each kind has a place: the mean of its pictures, the prototype. By a picture's distances to
the prototypes each kind gets its share.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.text import is_control, shorten

Array = NDArray[np.float64]

NOTHING = "nothing"  # the kind of pictures that need no restoring
MAX_KINDS, MAX_CHANNELS = 64, 4096
_DIGITS = 5  # that are kept of each number: a picture's own scatter hides more
_SHRINK = 0.02  # of the scatter, how much is taken for the same in all directions


@dataclass(frozen=True, eq=False)
class Prototypes:
    """`kinds`: K names; `axes`: D x C; `places`: K x D, a kind's mean along the axes.

    Distances are in units of the scatter within a kind.
    """

    kinds: tuple[str, ...]
    axes: Array
    places: Array

    def shares(self, summary: Sequence[float] | NDArray[Any]) -> dict[str, float]:
        """Return each kind's share, in all 1, for what the encoder says of a picture (C numbers).

        As if all kinds were equally frequent, and pictures of each scattered alike, normally.
        """
        distances = ((self.axes @ np.asarray(summary, float) - self.places) ** 2).sum(1)
        weights = np.exp((distances.min() - distances) / 2)
        return dict(zip(self.kinds, (weights / weights.sum()).tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON: what from_dict takes."""
        return {
            "kinds": list(self.kinds),
            "axes": _rounded(self.axes),
            "places": _rounded(self.places),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Prototypes":
        """Build from JSON values; raise CheckpointFormatError for what are no prototypes."""
        kinds = values.get("kinds")
        if (
            not isinstance(kinds, list)
            or not 2 <= len(kinds) <= MAX_KINDS
            or not all(isinstance(kind, str) and 0 < len(kind) <= 100 for kind in kinds)
            or any(is_control(letter) for kind in kinds for letter in kind)
            or len(set(kinds)) < len(kinds)
        ):
            raise CheckpointFormatError(f"The prototypes' kinds cannot be {shorten(kinds)}.")
        axes, places = (_matrix(values.get(name), name) for name in ("axes", "places"))
        if places.shape != (len(kinds), len(axes)):
            raise CheckpointFormatError(
                f"The prototypes have {len(kinds)} kinds and {len(axes)} axes, and places of shape "
                f"{places.shape}."
            )
        return cls(tuple(kinds), axes, places)


def find_prototypes(
    summaries: Mapping[str, Sequence[Sequence[float]] | NDArray[Any]],
) -> Prototypes:
    """Find the directions and places of kinds by what an encoder said of pictures of each.

    `summaries`: N x C numbers by kind; at least two kinds, with at least two pictures each.
    """
    groups = [np.asarray(group, float) for group in summaries.values()]
    means = np.stack([group.mean(0) for group in groups])
    within = sum(
        (group - mean).T @ (group - mean) for group, mean in zip(groups, means, strict=True)
    )
    within = np.asarray(within) / sum(len(group) - 1 for group in groups)
    even = np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh(
        (1 - _SHRINK) * within + _SHRINK * even + 1e-12 * np.eye(len(within))
    )
    whiten = (vectors / np.sqrt(values)).T
    white = (means - means.mean(0)) @ whiten.T
    # K places span K - 1 directions at most: the others tell no kind from another.
    count = min(len(groups) - 1, means.shape[1])
    axes = np.linalg.svd(white, full_matrices=False)[2][:count] @ whiten
    return Prototypes(tuple(summaries), axes, means @ axes.T)


def _rounded(matrix: Array) -> list[list[float]]:
    return [[float(f"{value:.{_DIGITS}g}") for value in row] for row in matrix.tolist()]


def _matrix(rows: object, name: str) -> Array:
    """Read a matrix of finite numbers from JSON; raise CheckpointFormatError for anything else."""
    if (
        isinstance(rows, list)
        and 1 <= len(rows) <= MAX_KINDS
        and all(isinstance(row, list) and 1 <= len(row) <= MAX_CHANNELS for row in rows)
        and len({len(row) for row in rows}) == 1
        and all(type(value) in (int, float) for row in rows for value in row)
    ):
        values = [[float(min(max(value, -1e30), 1e30)) for value in row] for row in rows]
        if all(math.isfinite(value) for row in values for value in row):
            return np.array(values)
    raise CheckpointFormatError(f"The prototypes' {name} are no matrix of finite numbers.")
