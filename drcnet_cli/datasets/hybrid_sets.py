"""The sets of several distortions at once, and those that FDR-Net's paper measures beside them.

* RL-Restore: 63 x 63 pixels of DIV2K's last fifty pictures. RGB of float results, and SSIM with a
  7 x 7 window of equal weights, as in the code of the operation-wise attention network (OWAN,
  sg-nm/Operation-wise-attention-network) that FDR-Net's paper names for it. DID-HY: the same.
* DID-MDN: pairs side by side in one file. SSIM is that of SPANet's code (`wide`, see `metrics`).
  Its pictures are Test1200's of Rain13K, which is measured on luma.
* Kodak24 with RL-Restore's levels, or as JPEG: the pictures that `drcnet degrade` makes with the
  same seed. Ours, so that nothing is published for them. JPEG is measured in RGB of 8-bit results.
"""

from drcnet_cli.datasets import layouts
from drcnet_cli.datasets.suite import TestSet
from drcnet_cli.tasks import TASKS, Protocol

LEVELS = ("mild", "moderate", "severe")
QUALITIES = (10, 20, 40)

_OWAN = TASKS["hybrid"].protocol
_DID_MDN = "Get the data set of Zhang and Patel, CVPR 2018 (hezhangsprinter/DID-MDN on GitHub)"


def _rlrestore(level: str) -> TestSet:
    return TestSet(
        f"rlrestore-{level}",
        f"RL-Restore, {level}",
        "hybrid",
        3584,
        "Get the test sets that the README of yuke93/RL-Restore on GitHub links, and put the "
        f"folders {level}_in and {level}_gt into DIR/RL-Restore.",
        ("rl-restore", "rl-restore-master", "rlrestore", "rl_restore", "test_images"),
        (layouts.rlrestore_level(level),),
        _OWAN,
    )


def _kodak24(kind: str, title: str, protocol: Protocol) -> TestSet:
    return TestSet(
        f"kodak24-{kind}",
        f"Kodak24, {title}",
        "hybrid",
        24,
        "Get the Kodak Lossless True Color Image Suite (r0k.us), and put the 24 clean pictures "
        "into DIR/Kodak24.",
        ("kodak24", "kodak"),
        (layouts.clean_pictures,),
        protocol,
        degradation=kind,
    )


HYBRID_SETS = (
    *map(_rlrestore, LEVELS),
    TestSet(
        "rlrestore-samples",
        "RL-Restore samples",
        "hybrid",
        None,
        "Put pairs of your choice from RL-Restore into DIR/RLRestore_samples/input and "
        "DIR/RLRestore_samples/target.",
        ("rlrestore_samples", "rlrestore-samples"),
        protocol=_OWAN,
    ),
    TestSet(
        "did-hy",
        "DID-HY",
        "hybrid",
        1200,
        "It was not released (Li et al., ECCV 2020). Put pairs made like it, DID-MDN's with blur, "
        "noise and JPEG added, into DIR/DID-HY/test/input and DIR/DID-HY/test/target.",
        ("did-hy", "did_hy"),
        protocol=_OWAN,
    ),
    TestSet(
        "did-mdn",
        "DID-MDN",
        "derain",
        1200,
        f"{_DID_MDN}, and put its folder DID-MDN-test into DIR.",
        ("did-mdn-test", "did-mdn-datasets", "did-mdn"),
        (layouts.paired_folders, layouts.joined_pictures("did-mdn-test")),
        Protocol(ssim_variant="wide", rounded=False),
    ),
    *(_kodak24(f"hybrid-{level}", f"{level} distortions", _OWAN) for level in LEVELS),
    *(_kodak24(f"jpeg-{q}", f"JPEG of quality {q}", Protocol()) for q in QUALITIES),
)
