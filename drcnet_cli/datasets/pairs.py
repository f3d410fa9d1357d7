"""Pairs of a degraded and a clean picture, matched by name and never by order."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from drcnet_cli.errors import UsageError
from drcnet_cli.imageio.folder import Pixels, name_pictures, read_rgb8

# Words that tell the two sides of a pair apart in published data sets: 0001_NOISY_SRGB_010 and
# 0001_GT_SRGB_010 (SIDD), rain-001 and norain-001 (Rain100), blur_1 and gt_1 (RealBlur),
# Canon_real and Canon_mean (PolyU), scene/blur/0001 and scene/sharp/0001 (GoPro), 1_in and 1_gt
# (RL-Restore).
_SIDES = frozenset(
    {"blur", "blurred", "blurry", "clean", "crops", "degraded", "ground", "groundtruth", "gt", "hq"}
    | {"image", "in", "input", "label", "lq", "mean", "noise", "noisy", "norain", "rain", "rainy"}
    | {"real", "mask", "masks", "shadow", "free", "no"}
    | {"ref", "reference", "rgb", "sharp", "source", "srgb", "target", "truth"}
)
_SEPARATORS = re.compile(r"[-_.\s]+")
# 1x2 beside 1 (Rain200), and 1_14 beside 1 (Rain1400: fourteen kinds of rain on one picture).
_VARIANT = re.compile(r"(x\d+|[-_ ]\d+)$")
_NAMED = 5  # unmatched names that a message lists


@dataclass(frozen=True)
class Pair:
    """One pair: `name` is the degraded picture's; pairs of one `group` show the same scene.

    `mask`: a picture that is white where the degraded one is damaged, and black elsewhere.
    `joined`: both are one file, the degraded picture to the left of the clean one.
    """

    name: str
    degraded: Path
    clean: Path
    group: str
    mask: Path | None = None
    joined: bool = False


@dataclass(frozen=True)
class Matching:
    """All pairs of two folders, and the names, by folder, that found no partner.

    `ambiguous`: of the degraded ones, those that have several possible partners, and which.
    """

    pairs: tuple[Pair, ...]
    unmatched_degraded: tuple[str, ...] = ()
    unmatched_clean: tuple[str, ...] = ()
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Count and name what is left over."""
        alone = tuple(name for name in self.unmatched_degraded if name not in self.ambiguous)
        notes = [
            f"{len(names)} {side} pictures have no partner and are left out: "
            + ", ".join(names[:_NAMED])
            + (", ..." if len(names) > _NAMED else "")
            for side, names in (
                ("degraded", alone),
                ("clean", self.unmatched_clean),
            )
            if names
        ]
        if self.ambiguous:
            name, partners = next(iter(self.ambiguous.items()))
            notes.append(
                f"{len(self.ambiguous)} degraded pictures have more than one possible partner and "
                f"are left out: {name} could belong to {' or '.join(partners[:_NAMED])}"
                + (", ..." if len(self.ambiguous) > 1 else "")
            )
        return notes


def read_pair(pair: Pair) -> tuple[Pixels, Pixels]:
    """Read the degraded and the clean picture, H x W x 3 each; raises ImageError.

    They may be of two sizes.
    """
    degraded = read_rgb8(pair.degraded)
    if pair.joined:
        return halves(degraded)
    # A clean picture of a set that is degraded here is its own partner.
    return degraded, degraded if pair.clean == pair.degraded else read_rgb8(pair.clean)


def halves(pixels: Pixels) -> tuple[Pixels, Pixels]:
    """Cut H x W x 3 into the left and the right half, without a column in the middle of both."""
    half = pixels.shape[1] // 2
    return np.ascontiguousarray(pixels[:, :half]), np.ascontiguousarray(pixels[:, -half:])


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
    matching = match_names(name_pictures(degraded), name_pictures(clean))
    if not matching.pairs:
        raise UsageError(
            f"No picture in {degraded} has a partner of the same name in {clean}.",
            " ".join(f"{note}." for note in matching.notes()[-1:] if matching.ambiguous)
            or "The two pictures of a pair must be named alike, such as lq/001.png and gt/001.png",
        )
    return matching


def with_masks(matching: Matching, masks: dict[str, Path]) -> Matching:
    """Give each pair its mask, matched by name as its clean picture is; those without stay so."""
    degraded = {pair.name: pair.degraded for pair in matching.pairs}
    found = {pair.name: pair.clean for pair in match_names(degraded, masks).pairs}
    pairs = tuple(replace(pair, mask=found.get(pair.name)) for pair in matching.pairs)
    return replace(matching, pairs=pairs)


def match_masks(matching: Matching, folder: Path) -> Matching:
    """Give each pair its mask from a folder; raises UsageError for a pair without."""
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", "Give --masks DIR")
    matching = with_masks(matching, name_pictures(folder))
    if alone := [pair.name for pair in matching.pairs if pair.mask is None]:
        raise UsageError(
            f"{len(alone)} pairs have no mask of their name in {folder}: "
            + ", ".join(alone[:_NAMED]),
            "A mask is named as its degraded picture, such as lq/001.png and mask/001.png",
        )
    return matching


def match_names(degraded: dict[str, Path], clean: dict[str, Path]) -> Matching:
    """Match pictures by their paths below their folders; see `match_folders`."""
    same, exact, plain = (_index(clean, key) for key in (str, _stem, plain_name))
    pairs, alone, used, ambiguous = [], [], set(), {}
    for name, path in degraded.items():
        key, several = plain_name(name), ()
        for index, wanted in (
            (same, name),
            (exact, _stem(name)),
            (plain, key),
            (plain, _VARIANT.sub("", key)),
        ):
            if len(found := index.get(wanted, [])) == 1:
                pairs.append(Pair(name, path, clean[found[0]], group=found[0]))
                used.add(found[0])
                break
            several = several or tuple(found)
        else:
            alone.append(name)
            if several:
                ambiguous[name] = several
    left = tuple(name for name in clean if name not in used)
    return Matching(tuple(pairs), tuple(alone), left, ambiguous)


def plain_name(name: str) -> str:
    """Return a relative path without file type and without the words that name a side of a pair."""
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
