"""Images a second of `drcnet train` beside the plainest loop over the same network.

    python benchmarks/train_throughput.py --clean PHOTOS [--degrade noise] [--patch 64x16]

Both loops take turns in one run, with the same network, number type, batch and optimiser. The plain
one trains on tensors that lie ready and does nothing else: no data, no average of the weights, no
clipping, no log. Prints both rates (the medians over the turns) and their ratio.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.train.config import TrainConfig
from drcnet_cli.train.log import NoListener
from drcnet_cli.train.loop import Training
from drcnet_cli.train.schedule import Phase

WARM_UP = 3  # steps


def plain_turn(training: Training, batch: Tensor, steps: int) -> float:
    """Give the plainest loop's images a second."""
    device, dtype = training.parts.device, training.parts.dtype
    network = DRCNet(training.parts.network.config).to(device)
    network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    degraded, clean = batch.to(device)
    degraded = degraded.contiguous(memory_format=torch.channels_last)
    started = now(device)
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            started = now(device)
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            image1, image2 = network(degraded, return_stages=True)
        loss = (image1 - clean).abs().mean() + (image2 - clean).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return steps * batch.shape[1] / (now(device) - started)


def our_turn(training: Training, phase: Phase, steps: int) -> float:
    """Give our loop's images a second, its workers started anew."""
    batches: Iterator[Tensor] = training._batches(phase)
    started = now(training.parts.device)
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            started = now(training.parts.device)
        rate = training._step(batches, 0.5)
        training._after_step(phase, rate)
    return steps * phase.batch / (now(training.parts.device) - started)


def now(device: torch.device) -> float:
    """Give the time, all work on the device done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", required=True)
    parser.add_argument("--degrade", default="noise")
    parser.add_argument("--patch", default="64x16", help="PATCHxBATCH")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--workers", type=int, default=-1)
    parser.add_argument("--steps", type=int, default=20, help="timed steps a turn")
    parser.add_argument("--turns", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            task="denoise", clean=(options.clean,), degrade=options.degrade, out=folder,
            patches=options.patch, width=options.width, workers=options.workers, steps=10**6,
            save_every="60m", validate_every="60m", val_count=1, val_side=64,
        )  # fmt: skip
        training = Training(config, NoListener())
        phase = training.phases[0]
        batch = next(training._batches(phase))
        our_turn(training, phase, len(training.data.held))  # decodes the first pictures
        ours, plain = [], []
        for _ in range(options.turns):
            plain.append(plain_turn(training, batch, options.steps))
            ours.append(our_turn(training, phase, options.steps))
            print(f"plain {plain[-1]:.1f}, ours {ours[-1]:.1f} images/s", flush=True)
    rates = statistics.median(ours), statistics.median(plain)
    ratio = statistics.median(o / p for o, p in zip(ours, plain, strict=True))
    print(f"{training.parts.device}, {training.parts.dtype}, {options.degrade}, {options.patch}")
    print(f"ours {rates[0]:.1f}, plain {rates[1]:.1f} images/s; ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
