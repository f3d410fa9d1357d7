"""A test set on disk: how one is described, where it is found, and its pictures as cases."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from drcnet_cli.datasets.layouts import paired_folders
from drcnet_cli.datasets.pairs import Matching, Pair, match_folders, match_masks, read_pair
from drcnet_cli.datasets.search import Array, Case, DataSet, Finder, FoundSet
from drcnet_cli.degrade.folder import degrade_pixels, rng_for
from drcnet_cli.degrade.noise import in_quarters
from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.imageio.folder import read_rgb8
from drcnet_cli.tasks import TASKS, Protocol

# Folders that test sets are found in, whatever the set.
CONTAINERS = frozenset(
    {"test", "tests", "testing", "testset", "testsets", "eval", "data", "dataset", "datasets"}
    | {"benchmark", "benchmarks", "rain13k", "deraining", "denoising", "deblurring", "realblur"}
    | {"motion_deblurring", "gaussian_denoising", "real_denoising", "cbsd68-dataset-master"}
    | {"dehazing", "reside", "sots"}
    | TASKS.keys()
)


@dataclass(frozen=True)
class TestSet(DataSet):
    """A published set to measure on.

    `sigma`: of the Gaussian noise that is added, in 0..255; four: of a picture's quarters.
    `degradation`: the kind that `drcnet degrade` makes the degraded pictures with. `public`:
    whether its targets are; without, results can only be submitted. Of the task `auto` is what
    networks for any damage are compared by; one for a single kind may be measured on it, too.
    """

    __test__ = False  # says to pytest that this is no test

    finders: tuple[Finder, ...] = (paired_folders,)
    protocol: Protocol = Protocol()
    sigma: int | tuple[int, ...] | None = None
    degradation: str = ""
    public: bool = True

    @property
    def is_made_here(self) -> bool:
        """Whether its degraded pictures are made of clean ones, which a seed changes."""
        return self.sigma is not None or bool(self.degradation)


@dataclass(frozen=True)
class Suite:
    """A data set found on disk: its cases in the published order, and where they were found."""

    cases: tuple[Case, ...]
    layout: str
    notes: tuple[str, ...] = ()

    def first(self, limit: int | None) -> "Suite":
        """Return the first pictures alone; all of them without a limit."""
        return replace(self, cases=self.cases[:limit])


def find_suite(test_set: TestSet, root: Path, *, seed: int = 0) -> Suite:
    """Find a set in or below `root`, and note where it differs from the published one.

    `seed` is that of the Gaussian noise. Raises UsageError, with where to get the set and the
    folder it should be in, if it isn't there, and ImageError for a damaged MATLAB file.
    """
    if not root.is_dir():
        raise UsageError(f"There is no folder {root}.", f"{test_set.where} Then: --data-root DIR")
    # A folder of the set's name wins over one that merely holds pictures.
    places = sorted(
        test_set.find(root, CONTAINERS),
        key=lambda place: (not (place[0].sure or place[1]), not place[1]),
    )
    if not places:
        raise test_set.absent(root)
    suite = _suite_of(places[0][0])
    if test_set.sigma is not None:
        suite = _with_noise(suite, test_set.sigma, seed)
    if test_set.degradation:
        suite = _degraded(suite, test_set.degradation, seed)
    if test_set.count in (None, len(suite.cases)):
        return suite
    note = (
        f"{test_set.title} has {test_set.count} pictures as published; here are "
        f"{len(suite.cases)}: its means will not compare with published ones."
    )
    return replace(suite, notes=(*suite.notes, note))


def pairs_suite(lq: Path, gt: Path, masks: Path | None = None) -> Suite:
    """Make a suite of any two folders, matched by name; raises UsageError if no pair is found.

    `masks`: folder of the degraded pictures' masks.
    """

    def read() -> Matching:
        matching = match_folders(lq, gt)
        return matching if masks is None else match_masks(matching, masks)

    return _suite_of(FoundSet(f"{lq} and {gt}", read))


def _suite_of(found: FoundSet) -> Suite:
    """Make a suite of what was found; of pairs, what is left over is noted."""
    content = found.read()
    if isinstance(content, Matching):
        cases = tuple(map(_pair_case, content.pairs))
        return Suite(cases, found.layout, tuple(content.notes()))
    return Suite(content, found.layout)


def _pair_case(pair: Pair) -> Case:
    def load() -> tuple[Array, Array]:
        degraded, clean = read_pair(pair)
        if degraded.shape != clean.shape:
            sizes = [f"{pixels.shape[1]} x {pixels.shape[0]}" for pixels in (degraded, clean)]
            raise ImageError(
                f"{pair.degraded} is {sizes[0]} pixels, but its target {pair.clean} is {sizes[1]}."
            )
        return degraded, clean

    mask = pair.mask
    return Case(pair.name, load, None if mask is None else lambda: read_rgb8(mask).max(2) > 127)


def _remade(suite: Suite, remake: Callable[[int, str, Array], tuple[Array, Array]]) -> Suite:
    """Make each case's pictures anew of its number, name and target."""

    def remade(index: int, case: Case) -> Case:
        def load() -> tuple[Array, Array | None]:
            degraded, target = case.load()
            return (degraded, None) if target is None else remake(index, case.name, target)

        return Case(case.name, load)

    return replace(suite, cases=tuple(remade(*item) for item in enumerate(suite.cases)))


def _with_noise(suite: Suite, sigma: int | tuple[int, ...], seed: int) -> Suite:
    """Add seeded Gaussian noise to the targets: float32, neither rounded nor clipped."""

    def noisy(index: int, _name: str, target: Array) -> tuple[Array, Array]:
        size = target.shape[:2]
        scale = sigma if isinstance(sigma, int) else in_quarters(sigma, *size)[..., None]
        noise = np.random.default_rng((seed, index)).normal(0, scale, target.shape)
        return ((target + noise) / 255).astype(np.float32), target

    return _remade(suite, noisy)


def _degraded(suite: Suite, kind: str, seed: int) -> Suite:
    """Degrade the targets: the pictures that `drcnet degrade --kind KIND --seed SEED` writes."""
    return _remade(suite, lambda _, name, target: degrade_pixels(target, kind, rng_for(seed, name)))
