"""Our default checkpoints beside other programs, on the same pictures in one run.

    pip install bm3d
    git clone https://github.com/csdwren/PReNet
    python benchmarks/peers.py DATA [--noise 15 25 50] [--bm3d] [--nlm] [--ffdnet ffdnet_color.pth]
        [--dncnn dncnn_color_blind.pth] [--prenet PReNet] [--limit 10] [--threads 1] [--plot P.svg]

BM3D, non-local means (OpenCV's) and FFDNet are told the true sigma of CBSD68's noise; DnCNN and
ours are not. FFDNet and DnCNN are KAIR's files, computed in bfloat16 as ours are. PReNet's
published weights are tried on Rain100L and Rain100H. Pictures are the first of each set by name.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from curves import Point, draw_curves
from torch import Tensor, nn

from drcnet_cli.api import load_model
from drcnet_cli.datasets.evaluation_sets import TEST_SETS
from drcnet_cli.datasets.suite import find_suite
from drcnet_cli.evaluation.score import score_suite

Array = np.ndarray[Any, Any]
NLM_STRENGTH = 0.9  # of sigma


class Peer:
    """Gives another program the interface of our restorer."""

    dtype_is_open = False

    def __init__(self, restore: Callable[[Array], Array]) -> None:
        self.restore = restore


def bm3d_peer(sigma: int) -> Peer:
    """Give BM3D in its colour version."""
    import bm3d

    def restore(noisy: Array) -> Array:
        return bm3d.bm3d_rgb(noisy.astype(np.float64), sigma / 255).astype(np.float32)

    return Peer(restore)


def nlm_peer(sigma: int) -> Peer:
    """Give OpenCV's non-local means, of 8-bit colours."""

    def restore(noisy: Array) -> Array:
        levels = np.rint(255 * noisy).clip(0, 255).astype(np.uint8)
        strength = NLM_STRENGTH * sigma
        return cv2.fastNlMeansDenoisingColored(levels, None, strength, strength)

    return Peer(restore)


def load_stack(file: Path) -> nn.Sequential:
    """Build convolutions with ReLUs between them, as KAIR's plain networks are, from their file."""
    weights = torch.load(file, map_location="cpu", weights_only=True)
    layers: list[nn.Module] = []
    for name, weight in weights.items():
        if name.endswith(".weight"):
            layers += [nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1), nn.ReLU()]
    stack = nn.Sequential(*layers[:-1])
    stack.load_state_dict({name.removeprefix("model."): part for name, part in weights.items()})
    return stack.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def network_peer(forward: Callable[[Tensor], Tensor]) -> Peer:
    """Give a network that maps 1 x 3 x H x W in [0, 1] to the like, in bfloat16."""

    def restore(noisy: Array) -> Array:
        batch = torch.tensor(noisy).permute(2, 0, 1)[None].float()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            out = forward(batch).float()
        return out[0].clamp(0, 1).permute(1, 2, 0).numpy()

    return Peer(restore)


def ffdnet_peer(file: Path, sigma: int) -> Peer:
    """Give FFDNet: at half the resolution, with a map of sigma beside the picture."""
    stack = load_stack(file)

    def forward(batch: Tensor) -> Tensor:
        height, width = batch.shape[2:]
        even = F.pad(batch, (0, width % 2, 0, height % 2), mode="replicate")
        small = F.pixel_unshuffle(even, 2)
        level = small.new_full((1, 1, *small.shape[2:]), sigma / 255)
        return F.pixel_shuffle(stack(torch.cat([small, level], 1)), 2)[..., :height, :width]

    return network_peer(forward)


def dncnn_peer(file: Path) -> Peer:
    """Give DnCNN, which finds the noise."""
    stack = load_stack(file)
    return network_peer(lambda batch: batch - stack(batch))


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


class Row(NamedTuple):
    """What a program does: means in decibels and seconds, and megapixels a second."""

    program: str
    psnr: float
    speed: float


def measure(name: str, root: Path, limit: int, label: str, restorer: Any) -> Row:  # noqa: ANN401
    """Print one row, and return it."""
    suite = find_suite(TEST_SETS[name], root).first(limit)
    score_suite(suite.first(1), restorer, TEST_SETS[name].protocol)  # to warm up
    scores, failed = score_suite(suite, restorer, TEST_SETS[name].protocol)
    assert not failed, failed
    before, psnr, ssim, seconds = (
        float(np.mean([getattr(score, field) for score in scores]))
        for field in ("input_psnr", "psnr", "ssim", "seconds")
    )
    speed = float(np.mean([score.width * score.height for score in scores])) / 1e6 / seconds
    row = (name, len(scores), label, f"{before:.2f}", f"{psnr:.2f}", f"{ssim:.4f}")
    print("| " + " | ".join(map(str, row)) + f" | {seconds:.2f} | {speed:.3f} |", flush=True)
    return Row(label, psnr, speed)


def denoisers(options: argparse.Namespace, sigma: int) -> Iterator[tuple[str, Any]]:
    """Yield what is to be compared on noise of one sigma."""
    if options.bm3d:
        yield "BM3D, told sigma", bm3d_peer(sigma)
    if options.nlm:
        yield "non-local means, told sigma", nlm_peer(sigma)
    if options.ffdnet:
        yield "FFDNet, told sigma", ffdnet_peer(options.ffdnet, sigma)
    if options.dncnn:
        yield "DnCNN, blind", dncnn_peer(options.dncnn)
    for name in ("drcnet-s-denoise", "drcnet-m-denoise"):
        yield f"{name}, blind", load_model(name).restorer()


def plot(rows: Mapping[int, list[Row]], path: Path) -> None:
    """Draw decibels against speed, a curve of all sigmas for each program."""
    curves: dict[str, list[Point]] = {}
    for row in (row for of_sigma in rows.values() for row in of_sigma):
        curves.setdefault(row.program, []).append(Point(row.speed, row.psnr))
    title = f"CBSD68, sigma {', '.join(map(str, rows))}"
    path.write_text(draw_curves(title, "megapixels a second", "PSNR, dB", curves))


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--noise", type=int, nargs="+", metavar="SIGMA", default=[])
    parser.add_argument("--bm3d", action="store_true")
    parser.add_argument("--nlm", action="store_true")
    parser.add_argument("--ffdnet", type=Path, metavar="FILE")
    parser.add_argument("--dncnn", type=Path, metavar="FILE")
    parser.add_argument("--prenet", type=Path, metavar="FOLDER")
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    print("| set | pictures | program | input PSNR | PSNR | SSIM | seconds a picture | MP/s |")
    print("|---|---|---|---|---|---|---|---|")
    rows = {
        sigma: [
            measure(f"cbsd68-{sigma}", options.root, options.limit, label, restorer)
            for label, restorer in denoisers(options, sigma)
        ]
        for sigma in options.noise
    }
    if options.plot:
        plot(rows, options.plot)
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
