"""How published data sets lie on disk, for training and for evaluation alike.

Pictures are sorted by their paths, character by character ("10.png" before "2.png"), as the
published scripts list them. Means do not depend on it, but seeded noise does.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from drcnet_cli.datasets.pairs import Matching, Pair, match_folders, match_names, with_masks
from drcnet_cli.datasets.search import (
    Finder,
    FoundSet,
    find_file,
    folders_in,
    pictures_in,
    relative_to,
)
from drcnet_cli.errors import UsageError
from drcnet_cli.imageio.folder import find_pictures, name_pictures

# The two folders of repackaged sets: degraded, clean.
_SIDES = (
    ("input", "target"),
    ("input", "groundtruth"),
    ("input", "gt"),
    ("lq", "gt"),
    ("blur", "sharp"),
    ("blur", "gt"),
    ("rain", "norain"),
    ("rainy", "norain"),
    ("rainy", "gt"),
    ("rainy_image", "ground_truth"),
    ("noisy", "clean"),
)
_VALIDATION_CROPS = (("input_crops", "gt_crops"), ("input_crops", "target_crops"))
_TRAINING_CROPS = (
    ("input_crops", "target_crops"),
    ("input_crops", "gt_crops"),
    ("blur_crops", "sharp_crops"),
    ("noisy_crops", "gt_crops"),
    ("lq_crops", "gt_crops"),
)
# Where the clean pictures of a denoising set lie in its folder, if not in it.
_CLEAN = ("original_png", "original", "clean", "hr", "gt")
# Hazy sets' folders: RESIDE's own names, O-HAZE's, and those that the sets are passed on by.
_HAZY = ("hazy", "haze", "its_haze", "synthetic")
_CLEAR = ("gt", "clear", "its_clear", "clear_images", "original")


def paired_folders(folder: Path) -> FoundSet | None:
    """Find `input` and `target`, or two folders by other usual names."""
    return _paired(folder, _SIDES)


def validation_crops(folder: Path) -> FoundSet | None:
    """Find SIDD's validation blocks as pictures: `val/input_crops` and `gt_crops` (HINet)."""
    # Beside `val` there are crops to train on, by the same names.
    val = folder if folder.resolve().name.lower() == "val" else folders_in(folder).get("val")
    return _paired(val, _VALIDATION_CROPS) if val else None


def training_crops(folder: Path) -> FoundSet | None:
    """Find the two folders of a set that is cut up to be trained on."""
    return _paired(folder, _TRAINING_CROPS, whole=False)


def rain100_original(folder: Path) -> FoundSet | None:
    """Find Rain100L and Rain100H as first published.

    `norain-001.png` beside `rain-001.png`, or beside a folder `rainy` with these.
    """
    rainy = folders_in(folder).get("rainy", folder)
    clean = [path for path in pictures_in(folder) if path.name.lower().startswith("norain-")]
    degraded = [path for path in pictures_in(rainy) if path.name.lower().startswith("rain-")]
    return _matched(folder, degraded, clean, f"{rainy}/rain-*, {folder}/norain-*")


def polyu_original(folder: Path) -> FoundSet | None:
    """Find PolyU's CroppedImages: Canon5D2_5_160_3200_chair_11_real.JPG and ..._mean.JPG."""
    noisy = [path for path in pictures_in(folder) if path.stem.lower().endswith("_real")]
    clean = [path for path in pictures_in(folder) if path.stem.lower().endswith("_mean")]
    return _matched(folder, noisy, clean, f"{folder}/*_real and *_mean")


def sidd_scenes(folder: Path) -> FoundSet | None:
    """Find SIDD-Medium: Data/0001_001_S6_00100_00060_3200_L/0001_{GT,NOISY}_SRGB_010.PNG."""
    scenes = [scene for scene in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*")) if scene.is_dir()]
    pictures = [path for scene in scenes for path in find_pictures(scene)]
    noisy, clean = (
        [p for p in pictures if "_SRGB_" in p.name.upper() and side in p.name.upper()]
        for side in ("_NOISY_", "_GT_")
    )
    return _matched(folder, noisy, clean, f"{folder}/SCENE/*_NOISY_*, *_GT_*")


def hazy_folders(folder: Path) -> FoundSet | None:
    """Find RESIDE's and O-HAZE's pictures: `gt/0001.png`, `hazy/0001_0.8_0.2.jpg`.

    Up to the first `_`, names say the scene: what follows are light and thickness of the haze, or
    the picture's side. OTS has its hazy pictures in folders `part1`, ..., beside the clear ones, or
    in one folder with these in it.
    """
    folders = folders_in(folder)
    clean = next((folders[name] for name in _CLEAR if name in folders), None)
    hazy = [folders[name] for name in _HAZY if name in folders][:1]
    hazy = hazy or [path for name, path in folders.items() if name.startswith("part")]
    if clean is None or not hazy:
        return None
    layout = f"{', '.join(map(str, hazy))} and {clean.name}"
    return FoundSet(layout, lambda: _by_scene(folder, hazy, [clean]))


def nh_haze_original(folder: Path) -> FoundSet | None:
    """Find NH-HAZE: 01_hazy.png beside 01_GT.png."""
    pictures = pictures_in(folder)
    hazy = [path for path in pictures if path.stem.lower().endswith("_hazy")]
    clean = [path for path in pictures if path.stem.lower().endswith("_gt")]
    return _matched(folder, hazy, clean, f"{folder}/*_hazy and *_GT", match_scenes)


def _by_scene(base: Path, hazy: list[Path], clean: list[Path]) -> Matching:
    sides = ([path for place in side for path in find_pictures(place)] for side in (hazy, clean))
    matching = match_scenes(*(relative_to(base, pictures) for pictures in sides))
    if not matching.pairs:
        raise UsageError(
            f"No picture in {hazy[0]} has a clear one of the same number in {clean[0]}.",
            "Pictures of a pair must be named alike up to the first _: hazy/1_2.png and gt/1.png",
        )
    return matching


def match_scenes(degraded: dict[str, Path], clean: dict[str, Path]) -> Matching:
    """Match pictures, by their paths below a folder, whose names begin alike up to the first `_`.

    Where two clean pictures could be the partner, none is.
    """
    scenes: dict[str, list[str]] = {}
    for name, path in clean.items():
        scenes.setdefault(_scene(path), []).append(name)
    alone = {name for name, path in degraded.items() if len(scenes.get(_scene(path), [])) != 1}
    pairs = tuple(
        Pair(name, path, clean[scenes[_scene(path)][0]], group=_scene(path))
        for name, path in degraded.items()
        if name not in alone
    )
    used = {pair.group for pair in pairs}
    left = tuple(name for name, path in clean.items() if _scene(path) not in used)
    return Matching(pairs, tuple(name for name in degraded if name in alone), left)


def _scene(path: Path) -> str:
    return path.stem.partition("_")[0].lower()


def istd_scenes(part: str, *, adjusted: bool = False) -> Finder:
    """Find ISTD's part: test/test_A with shadows, test_B their masks, test_C without shadows.

    `adjusted`: ISTD+, whose targets have the shadowed pictures' light: test_C_fixed_official beside
    ISTD's, or as test_C in a folder called like it.
    """

    def find(folder: Path) -> FoundSet | None:
        place = folders_in(folder).get(part, folder)
        folders = folders_in(place)
        fixed = [name for name in folders if name.startswith(f"{part}_c_fixed")]
        own = {folder.name.lower(), folder.resolve().parent.name.lower()} & ADJUSTED
        names = [*fixed, *([f"{part}_c"] if own else [])] if adjusted else [f"{part}_c"]
        clean = next((folders[name] for name in names if name in folders), None)
        if clean is None or f"{part}_a" not in folders or (own and not adjusted):
            return None
        shadowed, masks = folders[f"{part}_a"], folders.get(f"{part}_b")
        return _masked(shadowed, clean, masks)

    return find


ADJUSTED = {"istd+", "istd_plus", "istd-plus", "aistd", "istd_adjusted", "istd_adj"}


def srd_scenes(part: str) -> Finder:
    """Find SRD's part: Test/shadow and shadow_free, maybe masks of others' making in `mask`."""

    def find(folder: Path) -> FoundSet | None:
        folders = folders_in(folders_in(folder).get(part, folder))
        clean = folders.get("shadow_free") or folders.get("shadow-free")
        if "shadow" not in folders or clean is None:
            return None
        return _masked(folders["shadow"], clean, folders.get("mask") or folders.get("masks"))

    return find


def raindrop_scenes(part: str) -> Finder:
    """Find AGAN's part: test_a/data/0_rain.png and test_a/gt/0_clean.png."""

    def find(folder: Path) -> FoundSet | None:
        place = folders_in(folder).get(part, folder)
        folders = folders_in(place)
        if place.name.lower() != part or not {"data", "gt"} <= folders.keys():
            return None
        return _masked(folders["data"], folders["gt"], None)

    return find


def spanet_scenes(folder: Path) -> FoundSet | None:
    """Find SPANet's test set: real_test_1000/rain/001.png and gt/001gt.png."""
    folders = folders_in(folder)
    if not {"rain", "gt"} <= folders.keys():
        return None

    def read() -> Matching:
        rainy = relative_to(folders["rain"], find_pictures(folders["rain"]))
        clean = relative_to(folders["gt"], find_pictures(folders["gt"]))
        return match_names(rainy, {name.replace("gt.", "."): path for name, path in clean.items()})

    return FoundSet(f"{folders['rain']} and gt", read)


def _masked(degraded: Path, clean: Path, masks: Path | None) -> FoundSet:
    def read() -> Matching:
        matching = match_folders(degraded, clean)
        return matching if masks is None else with_masks(matching, name_pictures(masks))

    told = "" if masks is None else f", masks in {masks.name}"
    return FoundSet(f"{degraded} and {clean.name}{told}", read)


def gopro_scenes(part: str) -> Finder:
    """Find GOPRO_Large's part: test/GOPR0384_11_00/{blur,sharp}/000001.png.

    `blur_gamma` is left out: `blur` averages the frames as they are stored, and it is what
    published results train and test on.
    """

    def find(folder: Path) -> FoundSet | None:
        scenes = [
            folders_in(scene)
            for name, scene in folders_in(folder).items()
            if name.startswith("gopr")
        ]
        scenes = [sides for sides in scenes if {"blur", "sharp"} <= sides.keys()]
        if not scenes or folder.name.lower() in {"train", "test"} - {part}:
            return None

        def read() -> Matching:
            blurred, sharp = (
                relative_to(
                    folder, [path for sides in scenes for path in find_pictures(sides[side])]
                )
                for side in ("blur", "sharp")
            )
            return match_names(blurred, sharp)

        layout = f"{folder}/SCENE/blur and sharp"
        return FoundSet(layout, read, sure=folder.name.lower() == part)

    return find


def hide_original(folder: Path) -> FoundSet | None:
    """Find HIDE_dataset: test/test-close-ups, test/test-long-shot, and GT, which has all."""
    folders = folders_in(folder)
    test = folders_in(folders["test"]) if "test" in folders else {}
    parts = [test[name] for name in ("test-close-ups", "test-long-shot") if name in test]
    if not parts or "gt" not in folders:
        return None

    def read() -> Matching:
        sharp = {path.stem: path for path in find_pictures(folders["gt"])}
        blurred = relative_to(folders["test"], [p for part in parts for p in find_pictures(part)])
        pairs = [
            Pair(name, path, sharp[path.stem], group=path.stem)
            for name, path in blurred.items()
            if path.stem in sharp
        ]
        alone = tuple(name for name, path in blurred.items() if path.stem not in sharp)
        return Matching(tuple(pairs), alone)

    names = ",".join(part.name for part in parts)
    return FoundSet(f"{folders['test']}/{{{names}}} and GT", read, sure=True)


def listed_pairs(name: str, *, degraded_first: bool = False) -> Finder:
    """Find pairs by a list, a line each: `CLEAN-PATH DEGRADED-PATH` below the list's own folder.

    `degraded_first`: the other way round. A slash before a path (SPANet's) means that folder, too.
    """

    def find(folder: Path) -> FoundSet | None:
        listing = find_file(folder, name)
        if listing is None:
            return None
        return FoundSet(str(listing), lambda: _read_list(listing, degraded_first), sure=True)

    return find


def _read_list(listing: Path, degraded_first: bool) -> Matching:
    """Read a list of pairs; those whose files are missing are left over."""
    there, missing = [], []
    for line in listing.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        first, _, second = (part.strip().lstrip("/") for part in line.strip().partition(" "))
        clean, degraded = (second, first) if degraded_first else (first, second)
        if clean and degraded:
            folder = listing.parent
            pair = Pair(degraded, folder / degraded, folder / clean, group=clean)
            whole = pair.degraded.is_file() and pair.clean.is_file()
            (there if whole else missing).append(pair)
    return Matching(tuple(there), tuple(pair.name for pair in missing))


def clean_pictures(folder: Path) -> FoundSet | None:
    """Find a folder of clean pictures, or one of them in it (`original_png`).

    Each is its own partner: noise or blur comes later.
    """
    folders = folders_in(folder)
    for place in (folder, *(folders[name] for name in _CLEAN if name in folders)):
        if pictures := pictures_in(place):
            return _alone(place, pictures)
    return None


def div2k_up_to(last: int) -> Finder:
    """Find DIV2K's pictures up to a number, in one folder: 0001.png, 0002x2.png, ..."""

    def find(folder: Path) -> FoundSet | None:
        numbers = {path: path.stem[:4] for path in pictures_in(folder)}
        chosen = [path for path, n in numbers.items() if n.isdecimal() and int(n) <= last]
        return _alone(folder, chosen) if chosen else None

    return find


def _alone(place: Path, pictures: list[Path]) -> FoundSet:
    """Make clean pictures their own partners."""
    pairs = tuple(Pair(path.name, path, path, path.name) for path in pictures)
    return FoundSet(str(place), lambda: Matching(pairs))


def rlrestore_level(level: str) -> Finder:
    """Find RL-Restore's pictures of a level: mild_in/1_in.png (or 1.png) and mild_gt/1_gt.png."""

    def find(folder: Path) -> FoundSet | None:
        found = _paired(folder, ((f"{level}_in", f"{level}_gt"),))
        return replace(found, sure=True) if found else None

    return find


def joined_pictures(name: str) -> Finder:
    """Find pairs that are a picture each, in or below a folder of this name, as DID-MDN has them.

    The degraded picture is to the left of the clean one. Those of one number show the same scene:
    Rain_Heavy/train2018new/7.jpg, Rain_Light/train2018new/7.jpg.
    """

    def find(folder: Path) -> FoundSet | None:
        pictures = find_pictures(folder) if folder.resolve().name.lower() == name else []
        named = relative_to(folder, pictures)
        pairs = tuple(Pair(name, p, p, p.stem, joined=True) for name, p in named.items())
        return FoundSet(f"{folder}, side by side", lambda: Matching(pairs)) if pairs else None

    return find


def _paired(
    folder: Path, sides: tuple[tuple[str, str], ...], *, whole: bool = True
) -> FoundSet | None:
    folders = folders_in(folder)
    names = next(((one, two) for one, two in sides if {one, two} <= folders.keys()), None)
    if not names:
        return None
    degraded, clean = (folders[name] for name in names)
    degraded = folders_in(degraded).get("x2", degraded)  # Rain100H and L as updated: rain/X2
    layout = f"{degraded} and {clean.name}"
    return FoundSet(layout, lambda: match_folders(degraded, clean), whole=whole)


def _matched(
    base: Path,
    degraded: list[Path],
    clean: list[Path],
    layout: str,
    match: Callable[[dict[str, Path], dict[str, Path]], Matching] = match_names,
) -> FoundSet | None:
    if not degraded or not clean:
        return None
    named = relative_to(base, degraded), relative_to(base, clean)
    return FoundSet(layout, lambda: match(*named))
