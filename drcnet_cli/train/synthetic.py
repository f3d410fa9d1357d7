"""Pairs from clean photographs alone: crops degraded while training goes on.

The only module that knows how the degradations are called.
"""

import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drcnet_cli.degrade import (
    DEGRADATIONS,
    MIXES,
    RAINY,
    Degraded,
    Streaks,
    degrade,
    is_kind,
    margin_of,
)
from drcnet_cli.degrade.base import Degrade, chance
from drcnet_cli.degrade.folder import load_streaks
from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.imageio.folder import read_rgb8
from drcnet_cli.train.cache import PictureCache
from drcnet_cli.train.samples import (
    Masked,
    Sample,
    TwoCrops,
    cut,
    damage_mask,
    from_the_next_readable,
    middle,
    picture_number,
    sample_rng,
    to_unit_chw,
    turn,
)
from drcnet_cli.train.unusual import unusual_pair
from drcnet_cli.train.variety import cut_scaled, vary_colour

# The share of unusual pictures grows from none to its whole over so many samples: what photographs
# are is to be learned first, and a run of minutes has time for little else.
USUAL_FIRST = 10_000


def degradation(kind: str, streaks: Path | None = None) -> tuple[Degrade, int]:
    """Return the degradation of a kind, and the margin that its results need cut off.

    `streaks`: folder of rendered rain layers to draw from, too. Raises UsageError for an unknown
    kind or an empty folder.
    """
    if not is_kind(kind):
        raise UsageError(
            f"Unknown kind of degradation {kind!r}.", f"Use one of {', '.join(DEGRADATIONS)}"
        )
    return partial(_degrade, kind, load_streaks(streaks)), margin_of(kind)


def degradations(kinds: str, streaks: Path | None = None) -> tuple[tuple[Degrade, ...], int]:
    """Return the degradations that `noise,rain,haze` or the name of a mix means, and one margin.

    Raises UsageError for an unknown kind, an empty folder of `streaks`, or those without rain.
    """
    names = [name for item in kinds.split(",") for name in MIXES.get(item, (item,))]
    if streaks and not any(part in RAINY for name in names for part in name.split("+")):
        raise UsageError(
            f"--streaks is for rain, and {kinds} has none.",
            f"Leave --streaks out, or use one of --degrade {', '.join(RAINY)}",
        )
    found = [degradation(name, streaks) for name in names]
    return tuple(degrade for degrade, _ in found), max(margin for _, margin in found)


def _degrade(
    kind: str, layers: Streaks, image: NDArray[np.float32], rng: np.random.Generator
) -> Degraded:
    return degrade(image, kind, rng, layers)


class SyntheticSource:
    """Random crops of clean pictures, each degraded in its own way.

    Of several degradations, each sample in a row has the next one, so that a batch has all. With
    `vary`, their scale and colours differ from the pictures' (see `variety`). The share `unusual`
    of them (less of the first `usual_first`) is made into what photographs are not, or left
    undegraded (see `unusual`).
    """

    def __init__(
        self,
        cache: PictureCache,
        degrade: Degrade | Sequence[Degrade],
        seed: int,
        *,
        margin: int = 0,
        crops: int = 1,
        vary: bool = True,
        unusual: float = 0.0,
        usual_first: int = USUAL_FIRST,
    ) -> None:
        self._cache = cache
        self._degradations = (degrade,) if callable(degrade) else tuple(degrade)
        self._seed = seed
        self._margin = margin
        self._crops = crops
        self._vary = vary
        self._unusual = unusual
        self._usual_first = usual_first

    def sample(self, number: int, patch: int) -> Sample:
        """Return (degraded, clean) number `number`: float32, 3 x patch x patch.

        Of a damaged picture, from the next one. Raises ImageError if none can be read.
        """
        pair = self._sample(number, patch, sample_rng(self._seed, number))
        return pair.degraded, pair.clean

    def masked(self, number: int, patch: int, threshold: float) -> Masked:
        """Return (degraded, clean, mask): the degradation's own mask, or by `threshold`."""
        pair = self._sample(number, patch, sample_rng(self._seed, number))
        mask = damage_mask(pair.degraded, pair.clean, pair.mask, threshold)
        return pair.degraded, pair.clean, mask

    def two_crops(self, number: int, patch: int) -> TwoCrops:
        """Return (degraded, clean, another crop of the same degraded picture).

        What is degraded is half a patch wider and higher, and the crops are in two of its corners
        that face each other: a quarter of each is the other's.
        """
        rng = sample_rng(self._seed, number)
        pair = self._sample(number, patch + patch // 2, rng)
        sides = slice(0, patch), slice(-patch, None)
        down, right = int(rng.integers(2)), int(rng.integers(2))
        here = (slice(None), sides[down], sides[right])
        there = (slice(None), sides[1 - down], sides[1 - right])
        return pair.degraded[here], pair.clean[here], pair.degraded[there]

    def _sample(self, number: int, patch: int, rng: np.random.Generator) -> Degraded:
        count = len(self._cache)
        which = picture_number(number, count, self._seed, self._crops)
        picture = from_the_next_readable(which, count, self._cache.__getitem__)
        side = patch + 2 * self._margin
        crop = cut_scaled(picture, side, rng) if self._vary else cut((picture,), side, rng)[0]
        clean = to_unit_chw(turn((crop,), rng)[0])
        if self._vary:
            clean = vary_colour(clean, rng)
        # Nothing is drawn without a share: runs that began before there was one go on as they were.
        share = self._unusual * min(1.0, number / max(1, self._usual_first))
        degrade = self._degradations[number % len(self._degradations)]
        if share and chance(rng, share):
            degrade = partial(_unusual, degrade)
        return degrade_crop(clean, degrade, self._margin, rng)


def _unusual(degrade: Degrade, image: NDArray[np.float32], rng: np.random.Generator) -> Degraded:
    return unusual_pair(image, degrade, rng)


def degrade_crop(
    clean: NDArray[np.float32], degrade: Degrade, margin: int, rng: np.random.Generator
) -> Degraded:
    """Degrade 3 x H x W and cut `margin` pixels off each side."""
    pair = degrade(clean, rng)
    inner = (slice(None), slice(margin, -margin or None), slice(margin, -margin or None))
    mask = None if pair.mask is None else pair.mask[inner]
    return Degraded(pair.degraded[inner], pair.clean[inner], mask)


def held_pair(path: Path, name: str, degrade: Degrade, margin: int, side: int) -> Sample:
    """Return a held picture's pair: its middle, at most side x side, degraded as its name decides.

    The run's seed plays no part, so that the scores of all runs can be compared.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    crop = to_unit_chw(middle(read_rgb8(path), side + 2 * margin))
    if min(crop.shape[1:]) <= 2 * margin:
        raise ImageError(
            f"{path} is too small for this degradation, which reaches {margin} pixels."
        )
    pair = degrade_crop(crop, degrade, margin, rng)
    return pair.degraded, pair.clean
