"""Our default checkpoints beside other programs, on the same pictures in one run.

    pip install bm3d
    git clone https://github.com/csdwren/PReNet
    python benchmarks/peers.py DATA [--bm3d 15 25 50] [--prenet PReNet] [--limit 10]

BM3D is told the true sigma of CBSD68's noise; PReNet's published weights are tried on Rain100L and
Rain100H. Pictures are the first of each set by name.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from drcnet_cli.api import load_model
from drcnet_cli.datasets.evaluation_sets import TEST_SETS
from drcnet_cli.datasets.suite import find_suite
from drcnet_cli.evaluation.score import score_suite

Array = np.ndarray[Any, Any]


class Peer:
    """Gives another program the interface of our restorer."""

    def __init__(self, restore: Callable[[Array], Array]) -> None:
        self.restore = restore

    def settle_dtype(self, pixels: Array) -> None:
        """Keep the number type that it has."""


def bm3d_peer(sigma: int) -> Peer:
    """Give BM3D in its colour version."""
    import bm3d

    def restore(noisy: Array) -> Array:
        return bm3d.bm3d_rgb(noisy.astype(np.float64), sigma / 255).astype(np.float32)

    return Peer(restore)


def prenet_peer(folder: Path, trained_on: str) -> Peer:
    """Give PReNet with the weights that its repository holds."""
    sys.path.insert(0, str(folder))
    sys.modules.setdefault("torchvision", ModuleType("torchvision"))  # imported there, never used
    from networks import PReNet  # pyright: ignore[reportMissingImports]

    network = PReNet(6, use_GPU=False)
    weights = folder / "logs" / trained_on / "PReNet6" / "net_latest.pth"
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    def restore(rainy: Array) -> Array:
        batch = torch.tensor(rainy).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            out = network(batch)[0]
        return np.rint(out[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255).astype(np.uint8)

    return Peer(restore)


def measure(name: str, root: Path, limit: int, label: str, restorer: Any) -> None:  # noqa: ANN401
    """Print one row."""
    suite = find_suite(TEST_SETS[name], root).first(limit)
    scores, failed = score_suite(suite, restorer, TEST_SETS[name].protocol)
    assert not failed, failed
    before, psnr, ssim, seconds = (
        np.mean([getattr(score, field) for score in scores])
        for field in ("input_psnr", "psnr", "ssim", "seconds")
    )
    row = (name, len(scores), label, f"{before:.2f}", f"{psnr:.2f}", f"{ssim:.4f}")
    print("| " + " | ".join(map(str, row)) + f" | {seconds:.2f} |", flush=True)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--bm3d", type=int, nargs="+", metavar="SIGMA", default=[])
    parser.add_argument("--prenet", type=Path)
    parser.add_argument("--limit", type=int, default=10)
    options = parser.parse_args()
    print("| set | pictures | program | input PSNR | PSNR | SSIM | seconds a picture |")
    print("|---|---|---|---|---|---|---|")
    if options.bm3d:
        ours = load_model("denoise").restorer()
        for sigma in options.bm3d:
            name = f"cbsd68-{sigma}"
            peers = {"BM3D, told sigma": bm3d_peer(sigma), f"{ours.info.name}, blind": ours}
            for label, restorer in peers.items():
                measure(name, options.root, options.limit, label, restorer)
    if options.prenet:
        ours = load_model("derain").restorer()
        for name in ("rain100l", "rain100h"):
            for trained_on in ("Rain100L", "Rain100H", "Rain1400"):
                label = f"PReNet trained on {trained_on}"
                peer = prenet_peer(options.prenet, trained_on)
                measure(name, options.root, options.limit, label, peer)
            measure(name, options.root, options.limit, str(ours.info.name), ours)


if __name__ == "__main__":
    main()
