"""Samples by number: what training sees is a pure function of (seed, sample number, patch size).

Sample numbers count up for ever. Whichever worker or process computes a sample, before or after a
resumption, gets the same one: so runs are repeatable, and two processes see together what one with
the doubled batch would have seen.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from drcnet_cli.datasets.pairs import Pair, halves
from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.folder import Pixels
from drcnet_cli.train.cache import PictureCache

T = TypeVar("T")
Sample = tuple[NDArray[np.float32], NDArray[np.float32]]
TwoCrops = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
Masked = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]

# Multiplied, not divided as `imageio.pixels` does: the last bit differs, and a run that goes on
# should see what it saw before.
_UNIT = np.float32(1 / 255)


class SampleSource(Protocol):
    """Pairs to train on."""

    def sample(self, number: int, patch: int) -> Sample:
        """Return (degraded, clean) number `number`: float32, 3 x patch x patch."""
        ...

    def two_crops(self, number: int, patch: int) -> TwoCrops:
        """Return (degraded, clean, another crop of the same degraded picture), as `sample` does."""
        ...

    def masked(self, number: int, patch: int, threshold: float) -> Masked:
        """Return (degraded, clean, mask of the damage), the first two as `sample` does.

        The mask has ones and zeros, alike in its three channels: the data's own, or where the two
        pictures differ by `threshold` or more.
        """
        ...


def damage_mask(
    degraded: NDArray[np.float32],
    clean: NDArray[np.float32],
    mask: NDArray[np.float32] | None,
    threshold: float,
) -> NDArray[np.float32]:
    """Return a mask of 3 x H x W: the given one (1 or 3 x H x W), or by the largest difference.

    Only severe damage is meant to count (SPAIR section 3.1), which leaves the threshold open.
    """
    if mask is not None:
        return np.broadcast_to(mask, degraded.shape)
    differs = np.abs(degraded - clean).max(0, keepdims=True) >= threshold
    return np.broadcast_to(differs.astype(np.float32), degraded.shape)


def sample_rng(seed: int, number: int) -> np.random.Generator:
    """Return the random numbers of one sample."""
    return np.random.default_rng((seed, number))


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    # The third word keeps these streams apart from the samples' own.
    return np.random.default_rng((seed, epoch, 0x0E90C4)).permutation(count)


def picture_number(number: int, count: int, seed: int, crops: int) -> int:
    """Return the picture that a sample is cut from: a new random order each time all were used.

    `crops` samples in a row come from one picture, so that a picture which must be decoded anew
    serves several.
    """
    epoch, position = divmod(number // crops, count)
    return int(_order(count, seed, epoch)[position])


def from_the_next_readable(number: int, count: int, read: Callable[[int], T]) -> T:
    """Return what `read` makes of picture `number`, or of the first after it that can be used.

    Raises the ImageError of the last one if none can.
    """
    for place in range(number, number + count - 1):
        with suppress(ImageError):
            return read(place % count)
    return read((number + count - 1) % count)


def cut(pictures: tuple[Pixels, ...], patch: int, rng: np.random.Generator) -> tuple[Pixels, ...]:
    """Cut the same random patch x patch square from pictures of one size, H x W x 3.

    Smaller pictures are mirrored at their edges to the size needed.
    """
    height, width = pictures[0].shape[:2]
    if height < patch or width < patch:
        missing = ((0, max(0, patch - height)), (0, max(0, patch - width)), (0, 0))
        pictures = tuple(np.pad(picture, missing, mode="symmetric") for picture in pictures)
        height, width = pictures[0].shape[:2]
    top = int(rng.integers(height - patch + 1))
    left = int(rng.integers(width - patch + 1))
    return tuple(picture[top : top + patch, left : left + patch] for picture in pictures)


def turn(pictures: tuple[Pixels, ...], rng: np.random.Generator) -> tuple[Pixels, ...]:
    """Mirror and rotate pictures alike by one of the eight symmetries of the square."""
    quarters, mirrored = divmod(int(rng.integers(8)), 2)
    turned = (np.rot90(picture, quarters) for picture in pictures)
    return tuple(picture[:, ::-1] if mirrored else picture for picture in turned)


def to_unit_chw(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Turn H x W x 3 uint8 into contiguous float32 3 x H x W in [0, 1]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) * _UNIT


def middle(pixels: Pixels, side: int) -> Pixels:
    """Cut the middle, at most side x side, out of H x W x 3."""
    height, width = (min(length, side) for length in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


class PairSource:
    """Random crops of pairs, the same of both pictures."""

    def __init__(self, pairs: Sequence[Pair], limit_mb: int, seed: int, *, crops: int = 1) -> None:
        self._pairs = list(pairs)
        # In the order of the pairs, so that both sides of the first ones are kept; a clean picture
        # that several pairs share is kept once.
        sides = [[p for p in (x.degraded, x.clean, x.mask) if p is not None] for x in pairs]
        paths = list(dict.fromkeys(path for side in sides for path in side))
        numbers = {path: number for number, path in enumerate(paths)}
        self._numbers = [[numbers[path] for path in side] for side in sides]
        self.cache = PictureCache(paths, limit_mb)
        self._seed = seed
        self._crops = crops

    def sample(self, number: int, patch: int) -> Sample:
        """Return (degraded, clean) number `number`: float32, 3 x patch x patch.

        A pair with a damaged picture, or of two sizes, is left out, and the next one taken. Raises
        ImageError if none is left.
        """
        rng = sample_rng(self._seed, number)
        crops = turn(cut(self._pictures(number)[:2], patch, rng), rng)
        return to_unit_chw(crops[0]), to_unit_chw(crops[1])

    def masked(self, number: int, patch: int, threshold: float) -> Masked:
        """Return (degraded, clean, mask): the pair's own mask, or by `threshold`.

        Pairs are left out, and ImageError is raised, as by `sample`.
        """
        rng = sample_rng(self._seed, number)
        degraded, clean, *masks = turn(cut(self._pictures(number), patch, rng), rng)
        own = (masks[0] > 127).transpose(2, 0, 1).astype(np.float32) if masks else None
        both = to_unit_chw(degraded), to_unit_chw(clean)
        return (*both, damage_mask(*both, own, threshold))

    def two_crops(self, number: int, patch: int) -> TwoCrops:
        """Return (degraded, clean, another random crop of the degraded picture), all turned alike.

        Pairs are left out, and ImageError is raised, as by `sample`.
        """
        rng = sample_rng(self._seed, number)
        pictures = self._pictures(number)[:2]
        crops = turn((*cut(pictures, patch, rng), *cut(pictures[:1], patch, rng)), rng)
        return to_unit_chw(crops[0]), to_unit_chw(crops[1]), to_unit_chw(crops[2])

    def _pictures(self, number: int) -> tuple[Pixels, ...]:
        def read(which: int) -> tuple[Pixels, ...]:
            numbers = self._numbers[which]
            pictures = tuple(self.cache[one] for one in numbers)
            if self._pairs[which].joined:
                return halves(pictures[0])
            for other in pictures[1:]:
                if other.shape != pictures[0].shape:
                    self.cache.leave_out(numbers[0])
                    raise two_sizes(self._pairs[which], pictures[0].shape, other.shape)
            return pictures

        which = picture_number(number, len(self._pairs), self._seed, self._crops)
        return from_the_next_readable(which, len(self._pairs), read)


class TurnSource:
    """Several sources in turn: sample N is of source N modulo their number, and the next one of it.

    So that a batch of as many has one of each.
    """

    def __init__(self, sources: Sequence[SampleSource]) -> None:
        self._sources = list(sources)

    def sample(self, number: int, patch: int) -> Sample:
        """Return (degraded, clean) number `number`, as the sources do."""
        turn, which = divmod(number, len(self._sources))
        return self._sources[which].sample(turn, patch)

    def two_crops(self, number: int, patch: int) -> TwoCrops:
        """Return (degraded, clean, another crop of the same degraded picture), as they do."""
        turn, which = divmod(number, len(self._sources))
        return self._sources[which].two_crops(turn, patch)

    def masked(self, number: int, patch: int, threshold: float) -> Masked:
        """Return (degraded, clean, mask of the damage), as they do."""
        turn, which = divmod(number, len(self._sources))
        return self._sources[which].masked(turn, patch, threshold)


def two_sizes(pair: Pair, degraded: tuple[int, ...], clean: tuple[int, ...]) -> ImageError:
    """Return the error for a pair whose pictures are of two sizes, H x W x C."""
    return ImageError(
        f"{pair.degraded} is {degraded[1]} x {degraded[0]} pixels, but its partner "
        f"{pair.clean} is {clean[1]} x {clean[0]}.",
        "Both pictures of a pair must show the same: correct or remove them.",
    )
