"""The folder layouts that published test sets come in.

Pictures are sorted by their paths, character by character ("10.png" before "2.png"), as the
published scripts list them. Means do not depend on it, but seeded noise does.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from drcnet_cli.datasets.case import Array, Case, Suite
from drcnet_cli.datasets.pair_layouts import SIDES, read_realblur_list
from drcnet_cli.datasets.pairs import Matching, Pair, match_folders, match_names
from drcnet_cli.errors import ImageError
from drcnet_cli.files.discover import is_hidden
from drcnet_cli.imageio import is_image_name
from drcnet_cli.train.cache import find_pictures, read_rgb8


@dataclass(frozen=True)
class Found:
    """A layout that is there.

    `suite` lists its pictures; it raises UsageError if they make no data set. `sure`: the file
    names are this set's own, so that the folder's name doesn't matter.
    """

    suite: Callable[[], Suite]
    sure: bool = False


Finder: TypeAlias = Callable[[Path], Found | None]

# Folders that test sets are found in, whatever the set.
_CONTAINERS = frozenset(
    {"test", "tests", "testing", "testset", "testsets", "eval", "data", "dataset", "datasets"}
    | {"benchmark", "benchmarks", "rain13k", "derain", "deraining", "denoise", "denoising"}
    | {"deblur", "deblurring", "motion_deblurring", "gaussian_denoising", "real_denoising"}
    | {"cbsd68-dataset-master", "realblur"}
)
_DEPTH = 4

_CROPS = (("input_crops", "gt_crops"), ("input_crops", "target_crops"))
# Where the clean pictures of a denoising set lie in its folder, if not in it.
_CLEAN = ("original_png", "original", "clean", "hr", "gt")


def candidates(root: Path, names: Iterable[str]) -> Iterator[tuple[Path, bool]]:
    """Give the folders that may hold a set, and whether a folder's name says so; those first.

    They are `root`, and the folders below it that are called like the set or like a collection of
    sets; upper and lower case are the same.
    """
    wanted = {name.lower() for name in names}
    above = [root.resolve().name.lower(), root.resolve().parent.name.lower()]
    named = above[0] in wanted or (above[0] in _CONTAINERS and above[1] in wanted)
    found, level = [], [(root, named)]
    for _ in range(_DEPTH + 1):
        found += level
        level = [
            (child, named or name in wanted)
            for folder, named in level
            for name, child in _folders(folder).items()
            if name in wanted or name in _CONTAINERS
        ]
    return iter(sorted(found, key=lambda item: not item[1]))


def paired_folders(folder: Path) -> Found | None:
    """Find `input` and `target`, or two folders by other usual names."""
    return _paired(folder, SIDES)


def paired_crops(folder: Path) -> Found | None:
    """Find SIDD's validation blocks as pictures: `val/input_crops` and `gt_crops` (HINet)."""
    # Beside `val` there are crops to train on, by the same names.
    val = folder if folder.resolve().name.lower() == "val" else _folders(folder).get("val")
    return _paired(val, _CROPS) if val else None


def rain100_original(folder: Path) -> Found | None:
    """Find Rain100L and Rain100H as first published.

    `norain-001.png` beside `rain-001.png`, or beside a folder `rainy` with these.
    """
    rainy = _folders(folder).get("rainy", folder)
    clean = _starting(folder, folder, "norain-")
    degraded = _starting(folder, rainy, "rain-")
    if not clean or not degraded:
        return None
    layout = f"{rainy}/rain-*, {folder}/norain-*"
    return Found(lambda: suite_of(match_names(degraded, clean), layout))


def gopro_scenes(folder: Path) -> Found | None:
    """Find GOPRO_Large: test/GOPR0384_11_00/{blur,sharp}/000001.png; `blur_gamma` is left out."""
    scenes = [
        scene
        for name, scene in _folders(folder).items()
        if name.startswith("gopr") and {"blur", "sharp"} <= _folders(scene).keys()
    ]
    if not scenes or folder.name.lower() == "train":
        return None

    def suite() -> Suite:
        blurred, sharp = ({} for _ in range(2))
        for scene in scenes:
            sides = _folders(scene)
            blurred |= _relative(folder, find_pictures(sides["blur"]))
            sharp |= _relative(folder, find_pictures(sides["sharp"]))
        return suite_of(match_names(blurred, sharp), f"{folder}/SCENE/blur and sharp")

    return Found(suite, sure=folder.name.lower() == "test")


def hide_original(folder: Path) -> Found | None:
    """Find HIDE_dataset: test/test-close-ups, test/test-long-shot, and GT, which has all."""
    folders = _folders(folder)
    test = _folders(folders["test"]) if "test" in folders else {}
    parts = [test[name] for name in ("test-close-ups", "test-long-shot") if name in test]
    if not parts or "gt" not in folders:
        return None

    def suite() -> Suite:
        sharp = {path.stem: path for path in find_pictures(folders["gt"])}
        blurred = _relative(folders["test"], [p for part in parts for p in find_pictures(part)])
        pairs = [
            Pair(name, path, sharp[path.stem], group=path.stem)
            for name, path in blurred.items()
            if path.stem in sharp
        ]
        alone = tuple(name for name, path in blurred.items() if path.stem not in sharp)
        layout = f"{folders['test']}/{{{','.join(part.name for part in parts)}}} and GT"
        return suite_of(Matching(tuple(pairs), alone), layout)

    return Found(suite, sure=True)


def realblur_list(letter: str) -> Finder:
    """Find RealBlur-J or -R by its list of test pairs: lines `GT-PATH BLURRED-PATH`."""

    def find(folder: Path) -> Found | None:
        listing = find_file(folder, f"RealBlur_{letter}_test_list.txt")
        if listing is None:
            return None
        return Found(lambda: suite_of(read_realblur_list(listing), str(listing)), sure=True)

    return find


def polyu_original(folder: Path) -> Found | None:
    """Find PolyU's CroppedImages: Canon5D2_5_160_3200_chair_11_real.JPG and ..._mean.JPG."""
    pictures = _pictures(folder)
    noisy = [path for path in pictures if path.stem.lower().endswith("_real")]
    clean = [path for path in pictures if path.stem.lower().endswith("_mean")]
    if not noisy or not clean:
        return None
    named = _relative(folder, noisy), _relative(folder, clean)
    return Found(lambda: suite_of(match_names(*named), f"{folder}/*_real and *_mean"))


def clean_pictures(folder: Path) -> Found | None:
    """Find a folder of clean pictures, or one of them in it (`original_png`); noise comes later."""
    folders = _folders(folder)
    for place in (folder, *(folders[name] for name in _CLEAN if name in folders)):
        if pictures := _pictures(place):
            cases = tuple(_clean_case(path) for path in pictures)
            return Found(lambda cases=cases, place=place: Suite(cases, str(place)))
    return None


def suite_of(matching: Matching, layout: str) -> Suite:
    """Make a suite of matched pairs, what is left over noted."""
    return Suite(tuple(map(_pair_case, matching.pairs)), layout, tuple(matching.notes()))


def find_file(folder: Path, name: str) -> Path | None:
    """Find a file in a folder, upper and lower case being the same."""
    if not folder.is_dir():
        return None
    found = (path for path in sorted(folder.iterdir()) if path.name.lower() == name.lower())
    return next((path for path in found if path.is_file()), None)


def _paired(folder: Path, sides: tuple[tuple[str, str], ...]) -> Found | None:
    folders = _folders(folder)
    names = next(((one, two) for one, two in sides if {one, two} <= folders.keys()), None)
    if not names:
        return None
    degraded, clean = (folders[name] for name in names)
    degraded = _folders(degraded).get("x2", degraded)  # Rain100H and L as updated: rain/X2
    layout = f"{degraded} and {clean.name}"
    return Found(lambda: suite_of(match_folders(degraded, clean), layout))


def _pair_case(pair: Pair) -> Case:
    def load() -> tuple[Array, Array]:
        degraded, clean = read_rgb8(pair.degraded), read_rgb8(pair.clean)
        if degraded.shape != clean.shape:
            sizes = [f"{pixels.shape[1]} x {pixels.shape[0]}" for pixels in (degraded, clean)]
            raise ImageError(
                f"{pair.degraded} is {sizes[0]} pixels, but its target {pair.clean} is {sizes[1]}."
            )
        return degraded, clean

    return Case(pair.name, load)


def _clean_case(path: Path) -> Case:
    def load() -> tuple[Array, Array]:
        pixels = read_rgb8(path)
        return pixels, pixels

    return Case(path.name, load)


def _folders(folder: Path) -> dict[str, Path]:
    """Give the folders in a folder by their names in lower case, sorted."""
    if not folder.is_dir():
        return {}
    return {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}


def _pictures(folder: Path) -> list[Path]:
    """List the pictures in a folder, not below it, sorted, but for hidden ones."""
    return sorted(
        path
        for path in folder.iterdir()
        if is_image_name(path) and not is_hidden(path.name) and path.is_file()
    )


def _starting(base: Path, folder: Path, start: str) -> dict[str, Path]:
    pictures = [path for path in _pictures(folder) if path.name.lower().startswith(start)]
    return _relative(base, pictures)


def _relative(base: Path, pictures: list[Path]) -> dict[str, Path]:
    return {path.relative_to(base).as_posix(): path for path in pictures}
