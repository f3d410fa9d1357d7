"""The published training sets, found in the folder layouts that are in the wild."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from drcnet_cli.datasets.pair_layouts import SIDES, read_realblur_list
from drcnet_cli.datasets.pairs import Matching, Pair, match_folders, match_names
from drcnet_cli.errors import UsageError
from drcnet_cli.train.cache import find_pictures


@dataclass(frozen=True)
class Found:
    """A data set on disk: `layout` describes how it lies there, `whole` that it is not cut up."""

    matching: Matching
    layout: str
    whole: bool


@dataclass(frozen=True)
class Dataset:
    """A published set of training pairs.

    `pairs`: the published number. `where`: how to get it. `scene`: finds in a picture's path what
    its neighbours in time or its other exposures share. `original`: finds the layout of the
    authors' own archive below a folder.
    """

    name: str
    title: str
    task: str
    pairs: int
    where: str
    folders: tuple[str, ...]
    scene: re.Pattern[str]
    original: Callable[[Path], Found | None] = lambda _root: None


# The two folders of sets that are cut up; they come first, as who made them wants them used.
_CUT = (
    ("input_crops", "target_crops"),
    ("input_crops", "gt_crops"),
    ("blur_crops", "sharp_crops"),
    ("noisy_crops", "gt_crops"),
    ("lq_crops", "gt_crops"),
)


def find_dataset(name: str, root: Path) -> tuple[Dataset, Found, list[str]]:
    """Find a data set's training pairs in or below `root`, and notes on what was found.

    Raises UsageError, with where to get it, if it is not there.
    """
    dataset = DATASETS[name]
    found = next(_candidates(dataset, root), None)
    if found is None:
        raise UsageError(
            f"{dataset.title} is not in {root}.", f"{dataset.where} Then: --data-root DIR"
        )
    count = len(found.matching.pairs)
    pairs = tuple(_with_scene(dataset, pair) for pair in found.matching.pairs)
    found = replace(found, matching=replace(found.matching, pairs=pairs))
    notes = [f"{dataset.title}: {count} pairs in {found.layout}", *found.matching.notes()]
    if found.whole and count != dataset.pairs:
        notes.append(
            f"{dataset.title} has {dataset.pairs} training pairs as published; here are {count}: "
            "results will not compare with the published ones."
        )
    return dataset, found, notes


def _with_scene(dataset: Dataset, pair: Pair) -> Pair:
    match = dataset.scene.search(pair.degraded.as_posix())
    return replace(pair, group=match.group() if match else pair.group)


def _candidates(dataset: Dataset, root: Path) -> Iterator[Found]:
    """Give each layout that is there, the best first."""
    for folder in _roots(dataset, root):
        for names, whole in ((_CUT, False), (SIDES, True)):
            for degraded, clean in names:
                if (folder / degraded).is_dir() and (folder / clean).is_dir():
                    matching = match_folders(folder / degraded, folder / clean)
                    layout = f"{folder / degraded} and {clean}"
                    yield Found(matching, layout, whole)
        if found := dataset.original(folder):
            yield found


def _roots(dataset: Dataset, root: Path) -> Iterator[Path]:
    """Give the folders that may hold the pairs: `root`, the set's folder in it, their `train`."""
    names = {name.lower() for name in dataset.folders}
    levels = [root]
    for _ in range(4):
        yield from levels
        levels = [
            child
            for folder in levels
            if folder.is_dir()
            for child in sorted(folder.iterdir())
            if child.is_dir()
            and child.name.lower() in {*names, "train", "training", "datasets", "data"}
        ]


def _gopro_scenes(folder: Path) -> Found | None:
    """Find GOPRO_Large: train/GOPR0372_07_00/{blur,blur_gamma,sharp}/000047.png."""
    scenes = sorted(path.parent for path in folder.glob("GOPR*/sharp") if path.is_dir())
    if not scenes or folder.name.lower() == "test":
        return None
    # `blur` averages the frames as they are stored; it is what published results train on.
    return _collect(folder, scenes, "blur", "sharp", f"{folder}/SCENE/blur and sharp")


def _collect(folder: Path, scenes: list[Path], degraded: str, clean: str, layout: str) -> Found:
    def named(side: str) -> dict[str, Path]:
        return {
            path.relative_to(folder).as_posix(): path
            for scene in scenes
            for path in find_pictures(scene / side)
        }

    return Found(match_names(named(degraded), named(clean)), layout, whole=True)


def _sidd_scenes(folder: Path) -> Found | None:
    """Find SIDD-Medium: Data/0001_001_S6_00100_00060_3200_L/0001_{GT,NOISY}_SRGB_010.PNG."""
    pictures = {
        path.relative_to(folder).as_posix(): path
        for scene in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*"))
        if scene.is_dir()
        for path in find_pictures(scene)
        if "_SRGB_" in path.name.upper()
    }
    noisy = {name: path for name, path in pictures.items() if "_NOISY_" in path.name.upper()}
    clean = {name: path for name, path in pictures.items() if "_GT_" in path.name.upper()}
    if not noisy or not clean:
        return None
    return Found(match_names(noisy, clean), f"{folder}/SCENE/*_NOISY_*, *_GT_*", whole=True)


_REALBLUR_LISTS = ("RealBlur_J_train_list.txt", "RealBlur_R_train_list.txt")


def _realblur_lists(folder: Path) -> Found | None:
    """Find RealBlur by its list of training pairs: lines `GT-PATH BLURRED-PATH`."""
    for list_name in _REALBLUR_LISTS:
        if not (folder / list_name).is_file():
            continue
        matching = read_realblur_list(folder / list_name)
        if matching.pairs:
            return Found(matching, f"{folder / list_name}", whole=True)
    if next(folder.glob("RealBlur-*/scene*/gt"), None):
        raise UsageError(
            f"{folder} has RealBlur's scenes, but not the list of those to train on.",
            f"Put {_REALBLUR_LISTS[0]} from RealBlur's archive into {folder}",
        )
    return None


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "rain13k",
            "Rain13K",
            "derain",
            13712,
            "Get the training set that MPRNet and Restormer link in their README (Deraining).",
            ("rain13k",),
            re.compile(r"(?!)"),
        ),
        Dataset(
            "sidd",
            "SIDD-Medium (sRGB)",
            "denoise",
            320,
            "Get SIDD-Medium sRGB from the Smartphone Image Denoising Dataset's page (York "
            "University).",
            ("sidd", "sidd_medium_srgb"),
            re.compile(r"(?<=/)\d{4}(?=_[^/]*$)"),
            _sidd_scenes,
        ),
        Dataset(
            "gopro",
            "GoPro",
            "deblur",
            2103,
            "Get GOPRO_Large from the page of Nah, Kim and Lee, CVPR 2017 (Seoul National "
            "University).",
            ("gopro", "gopro_large"),
            re.compile(r"GOPR\d+_\d+_\d+"),
            _gopro_scenes,
        ),
        Dataset(
            "realblur",
            "RealBlur",
            "deblur",
            3758,
            "Get RealBlur-J or -R from the page of Rim et al., ECCV 2020 (POSTECH).",
            ("realblur", "realblur_j", "realblur-j", "realblur_r", "realblur-r"),
            re.compile(r"scene\d+"),
            _realblur_lists,
        ),
    )
}
