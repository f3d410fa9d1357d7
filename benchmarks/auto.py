"""`--task auto` on held photographs: one network for all, the checkpoint it chooses, the right one.

    python benchmarks/auto.py PHOTOS [--weights FILE] [--holdout 0.04] [--count 19]

Photographs that training holds out (by name) are degraded in each kind and restored in three ways:
by the all-in-one network itself, by what it chooses (the default), and by the checkpoint that the
kind calls for, which nobody would have to choose. A Markdown table of mean PSNR in dB; a picture
that comes back exactly counts as 100 dB.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean

import numpy as np

from drcnet_cli.metrics import psnr
from drcnet_cli.restore.config import RestoreConfig, open_restorer
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.tasks import ANY_DAMAGE, tasks_of_kind
from drcnet_cli.train.config import TrainConfig
from drcnet_cli.train.data import open_data
from drcnet_cli.train.kinds import DEFAULT_KINDS
from drcnet_cli.train.samples import Sample

PERFECT = 100.0


def pixels(picture: np.ndarray) -> np.ndarray:
    """Turn 3 x H x W in [0, 1] into H x W x 3 uint8, as it would be stored."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def score(held: Mapping[str, Sample], restore: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the mean PSNR of held pairs restored so."""
    values = [psnr(restore(pixels(bad)), pixels(good)) for bad, good in held.values()]
    return fmean(min(value, PERFECT) for value in values)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--holdout", type=float, default=0.04)
    parser.add_argument("--count", type=int, default=19)
    parser.add_argument("--kinds", default=",".join(DEFAULT_KINDS))
    asked = parser.parse_args()
    auto = RestoreConfig(asked.weights or ANY_DAMAGE, ANY_DAMAGE)
    chooses = open_restorer(auto)
    alone = open_restorer(RestoreConfig(asked.weights or ANY_DAMAGE, ANY_DAMAGE, experts=False))
    experts: dict[str, Restorer] = {}

    def right(kind: str, picture: np.ndarray) -> np.ndarray:
        for task in tasks_of_kind(kind):
            if task not in experts:
                experts[task] = open_restorer(RestoreConfig(task, task))
            picture = experts[task].restore(picture)
        return picture

    print("| kind | input | one for all | chosen | the right one |")
    print("|---|---|---|---|---|")
    for kind in asked.kinds.split(","):
        config = TrainConfig(
            task=ANY_DAMAGE,
            clean=(str(asked.photographs),),
            degrade=kind,
            holdout=asked.holdout,
            val_count=asked.count,
            cache_mb=64,
        )
        held = open_data(config).held
        figures = [
            score(held, way)
            for way in (
                lambda picture: picture,
                alone.restore,
                chooses.restore,
                lambda picture, kind=kind: right(kind, picture),
            )
        ]
        print(f"| {kind} | " + " | ".join(f"{value:.2f}" for value in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
