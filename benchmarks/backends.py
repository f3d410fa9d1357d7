"""What else could compute the network on a CPU: ONNX Runtime and OpenVINO beside ours, in turns.

    python benchmarks/backends.py [--widths 16 64] [--inputs 1x256 3x192] [--threads 1] [--turns 7]

Needs drcnet[onnx,openvino]. All take turns within one process, so a busy machine slows them alike;
printed are medians over turns of processor and wall seconds, how many times as quick as torch in
the same number type each is (processor seconds, the median of each turn's ratio), PSNR against
float32 torch, and what the first result costs beyond a later one: imports, export, compilation.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from drcnet_cli import settings

settings.share_processors()
settings.keep_memory()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from drcnet_cli.api import load_model  # noqa: E402
from drcnet_cli.device import dtype_name  # noqa: E402
from drcnet_cli.engines import TORCH, make_engine, runtimes  # noqa: E402
from drcnet_cli.engines.export import draw_pictures  # noqa: E402
from drcnet_cli.networks.checkpoint import CheckpointInfo  # noqa: E402
from drcnet_cli.networks.drcnet import DRCNetConfig  # noqa: E402
from drcnet_cli.networks.drcnet.cpu import FastDRCNet  # noqa: E402
from drcnet_cli.networks.drcnet.network import DRCNet  # noqa: E402

Result = TypeVar("Result")

SIDES = [
    (TORCH, torch.float32),
    ("onnx", torch.float32),
    ("openvino", torch.float32),
    (TORCH, torch.bfloat16),
    ("openvino", torch.bfloat16),
]


@dataclass
class Side:
    """One backend in one number type, and what was measured of it."""

    name: str
    dtype: torch.dtype
    run: Callable[[Tensor], Tensor]
    start: tuple[float, float]  # wall and processor seconds
    result: Tensor
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def main() -> None:
    """Measure every width and input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--inputs", nargs="+", default=["1x256", "3x192"], metavar="BATCHxSIDE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    runtimes.OFTEN = 0  # compiled for the shape at once, as after the first tiles of a photograph
    print(
        f"{'width':>5} {'input':>7} {'backend':<18} {'processor s':>11} {'wall s':>7} {'ratio':>6} "
        f"{'PSNR':>6} {'start, processor s':>18} {'wall s':>7}"
    )
    for width in args.widths:
        network, info = make_network(width)
        for text in args.inputs:
            batch, side = map(int, text.split("x"))
            sides = measure(network, info, draw_pictures((batch, 3, side, side), 0), args.turns)
            for item in sides:
                print(f"{width:>5} {text:>7} {describe(item, sides)}", flush=True)


def make_network(width: int) -> tuple[DRCNet, CheckpointInfo]:
    """Give the bundled network where it has that width, else one with random weights."""
    network = load_model("denoise", "cpu").network
    assert isinstance(network, DRCNet)
    if network.config.width == width:
        return network, CheckpointInfo(network.config)
    torch.manual_seed(0)
    network = DRCNet(DRCNetConfig(width=width)).eval()
    return network, CheckpointInfo(network.config)


def measure(network: DRCNet, info: CheckpointInfo, x: Tensor, turns: int) -> list[Side]:
    """Start every side, then let them take turns."""
    sides = [start(name, dtype, network, info, x) for name, dtype in SIDES]
    for _ in range(turns):
        for side in sides:
            _, wall, processor = timed(lambda side=side: side.run(x))
            side.wall.append(wall)
            side.processor.append(processor)
    return sides


def start(name: str, dtype: torch.dtype, network: DRCNet, info: CheckpointInfo, x: Tensor) -> Side:
    """Prepare one side and let it compute once; a library's import counts the first time."""

    def prepare() -> tuple[Callable[[Tensor], Tensor], Tensor]:
        if name == TORCH:
            run: Callable[[Tensor], Tensor] = FastDRCNet(network, dtype)
        else:
            engine = make_engine(name, network, info)
            run = lambda batch: engine(batch, dtype)  # noqa: E731
        return run, run(x)

    (run, result), wall, processor = timed(prepare)
    return Side(name, dtype, run, (wall, processor), result)


def timed(run: Callable[[], Result]) -> tuple[Result, float, float]:
    """Give the result, the wall and the processor seconds."""
    used, started = time.process_time(), time.perf_counter()
    result = run()
    return result, time.perf_counter() - started, time.process_time() - used


def describe(side: Side, sides: list[Side]) -> str:
    """Give one line of the table."""
    exact = next(s for s in sides if (s.name, s.dtype) == SIDES[0])
    like = next(s for s in sides if (s.name, s.dtype) == (TORCH, side.dtype))
    ratio = statistics.median(a / b for a, b in zip(like.processor, side.processor, strict=True))
    error = (side.result.clamp(0, 1) - exact.result.clamp(0, 1)).double().square().mean().item()
    psnr = "" if side is exact else f"{-10 * np.log10(max(error, 1e-20)):.1f}"
    wall, processor = statistics.median(side.wall), statistics.median(side.processor)
    start_wall, start_processor = (
        max(0.0, total - later) for total, later in zip(side.start, (wall, processor), strict=True)
    )
    return (
        f"{side.name + ' ' + dtype_name(side.dtype):<18} {processor:>11.4f} {wall:>7.3f} "
        f"{ratio:>6.2f} {psnr:>6} {start_processor:>18.2f} {start_wall:>7.2f}"
    )


if __name__ == "__main__":
    main()
