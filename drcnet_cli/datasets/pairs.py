"""Pairs of a degraded and a clean picture, matched by name and never by order."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.train.cache import PictureCache, find_pictures
from drcnet_cli.train.samples import (
    Sample,
    cut,
    picture_number,
    sample_rng,
    to_unit_chw,
    turn,
)

# Words that tell the two sides of a pair apart in published data sets: 0001_NOISY_SRGB_010 and
# 0001_GT_SRGB_010 (SIDD), rain-001 and norain-001 (Rain100), blur_1 and gt_1 (RealBlur),
# Canon_real and Canon_mean (PolyU), scene/blur/0001 and scene/sharp/0001 (GoPro).
_SIDES = frozenset(
    {"blur", "blurred", "blurry", "clean", "crops", "degraded", "ground", "groundtruth", "gt", "hq"}
    | {"image", "input", "label", "lq", "mean", "noise", "noisy", "norain", "rain", "rainy", "real"}
    | {"ref", "reference", "rgb", "sharp", "source", "srgb", "target", "truth"}
)
_SEPARATORS = re.compile(r"[-_.\s]+")
# 1x2 beside 1 (Rain200), and 1_14 beside 1 (Rain1400: fourteen kinds of rain on one picture).
_VARIANT = re.compile(r"(x\d+|[-_ ]\d+)$")
_NAMED = 5  # unmatched names that a message lists


@dataclass(frozen=True)
class Pair:
    """One pair: `name` is the degraded picture's; pairs of one `group` show the same scene."""

    name: str
    degraded: Path
    clean: Path
    group: str


@dataclass(frozen=True)
class Matching:
    """All pairs of two folders, and the names, by folder, that found no partner."""

    pairs: tuple[Pair, ...]
    unmatched_degraded: tuple[str, ...] = ()
    unmatched_clean: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """Count and name what is left over."""
        return [
            f"{len(names)} {side} pictures have no partner and are left out: "
            + ", ".join(names[:_NAMED])
            + (", ..." if len(names) > _NAMED else "")
            for side, names in (
                ("degraded", self.unmatched_degraded),
                ("clean", self.unmatched_clean),
            )
            if names
        ]


def match_folders(degraded: Path, clean: Path) -> Matching:
    """Match the pictures below two folders by name; raises UsageError if no pair is found.

    A degraded picture's partner has the same path below its folder, whatever the file type; or
    else the same but for the words that tell the two sides apart (`noisy` and `gt`, `rain` and
    `norain`, ...); or else the same without a variant's number at the end (`1_14` and `1`). Where
    two pictures could be the partner, none is.
    """
    for folder in (degraded, clean):
        if not folder.is_dir():
            raise UsageError(f"There is no folder {folder}.", "Give --lq DIR and --gt DIR")
    matching = match_names(_named(degraded), _named(clean))
    if not matching.pairs:
        raise UsageError(
            f"No picture in {degraded} has a partner of the same name in {clean}.",
            "The two pictures of a pair must be named alike, such as lq/001.png and gt/001.png",
        )
    return matching


def match_names(degraded: dict[str, Path], clean: dict[str, Path]) -> Matching:
    """Match pictures by their paths below their folders; see `match_folders`."""
    exact, plain = _index(clean, _stem), _index(clean, plain_name)
    pairs, alone, used = [], [], set()
    for name, path in degraded.items():
        key = plain_name(name)
        for index, wanted in (
            (exact, _stem(name)),
            (plain, key),
            (plain, _VARIANT.sub("", key)),
        ):
            if len(found := index.get(wanted, [])) == 1:
                pairs.append(Pair(name, path, clean[found[0]], group=found[0]))
                used.add(found[0])
                break
        else:
            alone.append(name)
    left = tuple(name for name in clean if name not in used)
    return Matching(tuple(pairs), tuple(alone), left)


def plain_name(name: str) -> str:
    """Give a relative path without file type and without the words that name a side of a pair."""
    parts = PurePosixPath(_stem(name).lower()).parts
    words = ([word for word in _SEPARATORS.split(part) if word not in _SIDES] for part in parts)
    return "/".join("_".join(kept) for kept in words if kept)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _index(names: dict[str, Path], key: Callable[[str], str]) -> dict[str, list[str]]:
    index: dict[str, list[str]] = defaultdict(list)
    for name in names:
        index[key(name)].append(name)
    return index


def _named(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in find_pictures(folder)}


class PairSource:
    """Random crops of pairs, the same of both pictures."""

    def __init__(self, pairs: Sequence[Pair], limit_mb: int, seed: int, *, crops: int = 1) -> None:
        self._pairs = list(pairs)
        # In the order of the pairs, so that both sides of the first ones are kept; a clean picture
        # that several pairs share is kept once.
        paths = list(dict.fromkeys(path for pair in pairs for path in (pair.degraded, pair.clean)))
        numbers = {path: number for number, path in enumerate(paths)}
        self._numbers = [(numbers[pair.degraded], numbers[pair.clean]) for pair in pairs]
        self.cache = PictureCache(paths, limit_mb)
        self._seed = seed
        self._crops = crops

    def sample(self, number: int, patch: int) -> Sample:
        """Give (degraded, clean) number `number`: float32, 3 x patch x patch.

        Raises ImageError for a damaged file or a pair of two sizes.
        """
        rng = sample_rng(self._seed, number)
        which = picture_number(number, len(self._pairs), self._seed, self._crops)
        first, second = self._numbers[which]
        degraded, clean = self.cache[first], self.cache[second]
        _check_sizes(self._pairs[which], degraded.shape, clean.shape)
        crops = turn(cut((degraded, clean), patch, rng), rng)
        return to_unit_chw(crops[0]), to_unit_chw(crops[1])


def _check_sizes(pair: Pair, degraded: tuple[int, ...], clean: tuple[int, ...]) -> None:
    if degraded != clean:
        raise ImageError(
            f"{pair.degraded} is {degraded[1]} x {degraded[0]} pixels, but its partner "
            f"{pair.clean} is {clean[1]} x {clean[0]}.",
            "Both pictures of a pair must show the same: correct or remove them.",
        )
