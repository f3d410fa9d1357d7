"""The published training sets, found in the folder layouts that are in the wild."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from drcnet_cli.datasets import layouts
from drcnet_cli.datasets.pairs import Matching, Pair
from drcnet_cli.datasets.search import DataSet, Finder, FoundSet
from drcnet_cli.errors import UsageError

# Folders that training sets are found in, whatever the set.
_CONTAINERS = frozenset({"train", "training", "datasets", "data", "reside", "dehaze", "dehazing"})
_REALBLUR_LISTS = ("RealBlur_J_train_list.txt", "RealBlur_R_train_list.txt")


@dataclass(frozen=True)
class TrainingSet(DataSet):
    """A published set of pairs to train on.

    `scene`: finds in a picture's path what its neighbours in time or its other exposures share.
    `clean`: it has clean pictures alone, each its own partner, to be degraded while training goes
    on: by `degradation`, or by its task's mix without. `named`: it is found in folders of its names
    alone, as others would look the same.
    """

    scene: re.Pattern[str] = re.compile(r"(?!)")
    clean: bool = False
    degradation: str = ""
    named: bool = False


@dataclass(frozen=True)
class MixedSet:
    """Several training sets under one name: of which one each kind of degradation is made.

    `where`: how their folders lie below one.
    """

    name: str
    title: str
    task: str
    parts: Mapping[str, tuple[str, ...]]
    where: str


@dataclass(frozen=True)
class FoundPairs:
    """A training set's pairs as they were found; `whole`: pictures that are not cut up."""

    matching: Matching
    whole: bool


def find_dataset(name: str, root: Path) -> tuple[TrainingSet, FoundPairs, list[str]]:
    """Find a data set's training pairs in or below `root`, and notes on what was found.

    Raises UsageError, with where to get it, if it is not there.
    """
    dataset = TRAINING_SETS[name]
    for found, named in dataset.find(root, _CONTAINERS):
        if dataset.named and not named:
            continue
        matching = found.read()
        # Of RealBlur's two lists, the pictures of only one may be here.
        if isinstance(matching, Matching) and matching.pairs:
            break
    else:
        raise dataset.absent(root)
    count, what = len(matching.pairs), "pictures" if dataset.clean else "pairs"
    notes = [f"{dataset.title}: {count} {what} in {found.layout}", *matching.notes()]
    if found.whole and count != dataset.count:
        notes.append(
            f"{dataset.title} has {dataset.count} training {what} as published; here are {count}: "
            "results will not compare with the published ones."
        )
    pairs = tuple(_with_scene(dataset, pair) for pair in matching.pairs)
    return dataset, FoundPairs(replace(matching, pairs=pairs), found.whole), notes


def _with_scene(dataset: TrainingSet, pair: Pair) -> Pair:
    match = dataset.scene.search(pair.degraded.as_posix())
    return replace(pair, group=match.group() if match else pair.group)


def _realblur_without_list(folder: Path) -> FoundSet | None:
    """Raise UsageError for RealBlur's scenes: come here, no list of those to train on was found."""
    if next(folder.glob("RealBlur-*/scene*/gt"), None):
        raise UsageError(
            f"{folder} has RealBlur's scenes, but not the list of those to train on.",
            f"Put {_REALBLUR_LISTS[0]} from RealBlur's archive into {folder}",
        )
    return None


# Sets that are cut up come first, as who made the crops wants them used.
_FOLDERS: tuple[Finder, ...] = (layouts.training_crops, layouts.paired_folders)

TRAINING_SETS: dict[str, TrainingSet] = {
    dataset.name: dataset
    for dataset in (
        TrainingSet(
            "rain13k",
            "Rain13K",
            "derain",
            13712,
            "Get the training set that MPRNet and Restormer link in their README (Deraining).",
            ("rain13k",),
            _FOLDERS,
        ),
        TrainingSet(
            "rain100l",
            "Rain100L (training)",
            "derain",
            200,
            "Get RainTrainL from the page of Yang et al., CVPR 2017 (JORDER), and put its pictures "
            "into DIR/RainTrainL.",
            ("raintrainl", "rain_train_l", "rain100l_train", "derain"),
            (layouts.rain100_original, *_FOLDERS),
            named=True,
        ),
        TrainingSet(
            "bsd400",
            "BSD400",
            "denoise",
            400,
            "Get the 400 pictures of BSDS500 that DnCNN trains on into DIR/BSD400.",
            ("bsd400",),
            (layouts.clean_pictures,),
            clean=True,
            named=True,
        ),
        TrainingSet(
            "wed",
            "WED",
            "denoise",
            4744,
            "Get the Waterloo Exploration Database's pristine images (Ma et al., TIP 2017) into "
            "DIR/WED.",
            ("wed", "pristine_images", "exploration_database_and_code"),
            (layouts.clean_pictures,),
            clean=True,
            named=True,
        ),
        TrainingSet(
            "sidd",
            "SIDD-Medium (sRGB)",
            "denoise",
            320,
            "Get SIDD-Medium sRGB from the Smartphone Image Denoising Dataset's page (York "
            "University).",
            ("sidd", "sidd_medium_srgb"),
            (*_FOLDERS, layouts.sidd_scenes),
            re.compile(r"(?<=/)\d{4}(?=_[^/]*$)"),
        ),
        TrainingSet(
            "gopro",
            "GoPro",
            "deblur",
            2103,
            "Get GOPRO_Large from the page of Nah, Kim and Lee, CVPR 2017 (Seoul National "
            "University).",
            ("gopro", "gopro_large"),
            (*_FOLDERS, layouts.gopro_scenes("train")),
            re.compile(r"GOPR\d+_\d+_\d+"),
        ),
        TrainingSet(
            "realblur",
            "RealBlur",
            "deblur",
            3758,
            "Get RealBlur-J or -R from the page of Rim et al., ECCV 2020 (POSTECH).",
            ("realblur", "realblur_j", "realblur-j", "realblur_r", "realblur-r"),
            (*_FOLDERS, *map(layouts.listed_pairs, _REALBLUR_LISTS), _realblur_without_list),
            re.compile(r"scene\d+"),
        ),
        TrainingSet(
            "spanet-train",
            "SPANet",
            "derain",
            638492,
            "Get the training data of Wang et al., CVPR 2019 (stevewongv/SPANet on GitHub), and "
            "put real_world, real_world_gt and real_world.txt into DIR.",
            ("spanet", "spa-data", "spa_data"),
            (layouts.listed_pairs("real_world.txt", degraded_first=True),),
            re.compile(r"(?<=real_world/)[^/]+"),
        ),
        TrainingSet(
            "raindrop-train",
            "Raindrop (AGAN)",
            "raindrop",
            861,
            "Get the raindrop data set of Qian et al., CVPR 2018 (rui1996/DeRaindrop on GitHub).",
            ("raindrop_data", "raindrop", "agan"),
            (layouts.raindrop_scenes("train"), *_FOLDERS),
        ),
        TrainingSet(
            "istd-train",
            "ISTD",
            "deshadow",
            1330,
            "Get ISTD from the page of Wang et al., CVPR 2018 (DeepInsight-PCALab/ST-CGAN on "
            "GitHub).",
            ("istd", "istd_dataset"),
            (layouts.istd_scenes("train"),),
            re.compile(r"(?<=/)\d+(?=-\d+\.)"),
        ),
        TrainingSet(
            "istd-plus-train",
            "ISTD+",
            "deshadow",
            1330,
            "Get the adjusted targets of Le and Samaras, ICCV 2019 (cvlab-stonybrook/SID on "
            "GitHub), beside ISTD's train_A.",
            ("istd", "istd_dataset", *sorted(layouts.ADJUSTED)),
            (layouts.istd_scenes("train", adjusted=True),),
            re.compile(r"(?<=/)\d+(?=-\d+\.)"),
        ),
        TrainingSet(
            "srd-train",
            "SRD",
            "deshadow",
            2680,
            "Get SRD from the page of Qu et al., CVPR 2017 (DeshadowNet).",
            ("srd",),
            (layouts.srd_scenes("train"),),
        ),
        TrainingSet(
            "did-mdn-train",
            "DID-MDN",
            "derain",
            12000,
            "Get the data set of Zhang and Patel, CVPR 2018 (hezhangsprinter/DID-MDN on GitHub), "
            "and put its folder DID-MDN-training into DIR.",
            ("did-mdn-training", "did-mdn-datasets", "did-mdn"),
            (layouts.joined_pictures("did-mdn-training"),),
        ),
        TrainingSet(
            "rlrestore-train",
            "RL-Restore (training)",
            "hybrid",
            750,
            "Get the scaled-down DIV2K of Yu et al., CVPR 2018 (yuke93/RL-Restore on GitHub), or "
            "DIV2K itself, and put its pictures into DIR/DIV2K.",
            ("div2k", "div2k_train_hr", "rl-restore", "rl-restore-master"),
            (layouts.div2k_up_to(750),),
            clean=True,
            degradation="hybrid-moderate",
            named=True,
        ),
        TrainingSet(
            "reside-ots",
            "RESIDE OTS",
            "dehaze",
            72135,
            "Get OTS (RESIDE-beta) from the page of Li et al., TIP 2019 (RESIDE), and put its "
            "folders clear and part1 to part4 into DIR/OTS.",
            ("ots", "ots_beta", "reside-ots", "reside_ots", "reside-outdoor"),
            (layouts.hazy_folders,),
        ),
        TrainingSet(
            "reside-its",
            "RESIDE ITS",
            "dehaze",
            13990,
            "Get ITS (RESIDE-standard) from the page of Li et al., TIP 2019 (RESIDE), and put its "
            "folders hazy and clear into DIR/ITS.",
            ("its", "its_v2", "reside-its", "reside_its", "reside-indoor"),
            (layouts.hazy_folders,),
        ),
    )
}

_NOISE_OF = ("bsd400", "wed")
MIXED_SETS: dict[str, MixedSet] = {
    "airnet5": MixedSet(
        "airnet5",
        "AirNet's five",
        "auto",
        {
            "gaussian-15": _NOISE_OF,
            "gaussian-25": _NOISE_OF,
            "gaussian-50": _NOISE_OF,
            "rain": ("rain100l",),
            "haze": ("reside-ots",),
        },
        "Put BSD400, WED, RainTrainL and OTS into DIR (AirNet, section 4.1).",
    )
}
