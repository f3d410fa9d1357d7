"""What the contrastive losses add to a training step.

    python benchmarks/intra_cr.py [--width 64] [--patch 256] [--batch 8] [--device cuda]

Times whole steps (forward, losses, backward, Adam) with each contrastive loss in turn, round by
round, and prints the median time and the overhead over a step without one, beside the overhead in
floating-point operations. VGG19's weights are random: no time depends on them. `intra, k knots` is
Intra-CR with its ten negatives taken at k places (`intra_mixtures`).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from drcnet_cli.device import choose_device, choose_dtype, dtype_name
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.train.losses import DEFAULT_ALPHA, make_contrastive, stage_loss
from drcnet_cli.train.vgg import VGGFeatures

Step = Callable[[], None]


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    device = choose_device(arguments.device)
    dtype = choose_dtype(arguments.dtype, device)
    torch.manual_seed(0)
    model = DRCNet(DRCNetConfig(width=arguments.width)).to(device)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.Adam(model.parameters(), 1e-5)
    clean = torch.rand(arguments.batch, 3, arguments.patch, arguments.patch, device=device)
    degraded = (clean + 0.1 * torch.randn_like(clean)).clamp(0, 1)
    features = VGGFeatures().place(device, dtype)

    def make_step(criterion: nn.Module, alpha: float) -> Step:
        def step() -> None:
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                image1, image2 = model(degraded, return_stages=True)
            objective(criterion, alpha, image1, image2).backward()
            optimiser.step()

        return step

    def objective(criterion: nn.Module, alpha: float, image1: Tensor, image2: Tensor) -> Tensor:
        return stage_loss(image1, image2, clean) + alpha * criterion(image2, clean, degraded)

    steps = {"none": make_step(make_contrastive("none", None), 0.0)}
    for kind in ("intra", "extra", "released"):
        if kind != "extra" or arguments.batch > 1:
            steps[kind] = make_step(make_contrastive(kind, features), DEFAULT_ALPHA[kind])
    for knots in arguments.knots:
        criterion = make_contrastive("intra", features, knots=knots)
        steps[f"intra, {knots} knots"] = make_step(criterion, DEFAULT_ALPHA["intra"])
    print(
        f"width {arguments.width}, {arguments.batch} patches of {arguments.patch}, {device}, "
        f"{dtype_name(dtype)}, {arguments.rounds} rounds"
    )
    report(measure(steps, arguments.rounds, device), count_operations(steps))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--knots", type=int, nargs="*", default=[3])
    return parser.parse_args()


def measure(steps: dict[str, Step], rounds: int, device: torch.device) -> dict[str, float]:
    """Give each step's median time in seconds; the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            synchronise(device)
            start = time.perf_counter()
            step()
            synchronise(device)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def count_operations(steps: dict[str, Step]) -> dict[str, int]:
    """Give each step's floating-point operations in convolutions, forward and backward."""
    counts = {}
    for name, step in steps.items():
        with FlopCounterMode(display=False) as counter:
            step()
        counts[name] = counter.get_total_flops()
    return counts


def synchronise(device: torch.device) -> None:
    """Wait for what was queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(times: dict[str, float], counts: dict[str, int]) -> None:
    """Print a line for each loss."""
    print(f"{'contrastive':<16} {'s/step':>9} {'overhead':>9} {'in operations':>14}")
    for name, seconds in times.items():
        overhead = seconds / times["none"] - 1
        more = counts[name] / counts["none"] - 1
        print(f"{name:<16} {seconds:9.4f} {overhead:9.1%} {more:14.1%}")


if __name__ == "__main__":
    main()
