"""How published pairs lie on disk, for training and test sets alike."""

from pathlib import Path

from drcnet_cli.datasets.pairs import Matching, Pair

# The two folders of repackaged sets: degraded, clean.
SIDES = (
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


def read_realblur_list(listing: Path) -> Matching:
    """Read RealBlur's list of pairs, whose lines are `GT-PATH BLURRED-PATH` beside the list.

    Pairs whose files are missing are left over.
    """
    there, missing = [], []
    for line in listing.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        clean, _, degraded = line.strip().partition(" ")
        if degraded := degraded.strip():
            folder = listing.parent
            pair = Pair(degraded, folder / degraded, folder / clean, group=clean)
            whole = pair.degraded.is_file() and pair.clean.is_file()
            (there if whole else missing).append(pair)
    return Matching(tuple(there), tuple(pair.name for pair in missing))
