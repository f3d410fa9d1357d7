"""SC and SNL computed at masked pixels alone, against computing everything and masking.

    python benchmarks/spair_sparse.py [--channels 32] [--side 128] [--dtype float32] [--turns 5]

Masks are blobs, as damage is. Printed are the least processor milliseconds on one thread for each
share of masked pixels, how far the two forms lie apart, and which one the network takes.
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from drcnet_cli.networks.spair.attention import SNL, gather
from drcnet_cli.networks.spair.sparse import (
    ATTENTION_BELOW,
    LAYERS,
    SPARSE_BELOW,
    DenseBlock,
    pays,
    sparse_block,
)

SHARES = (0.01, 0.05, 0.2, 0.5, 1.0)
BLOB = 16  # pixels, about


def blobs(side: int, share: float) -> Tensor:
    """Draw a mask, 1 x 1 x side x side, of which `share` is 1."""
    if share == 1:
        return torch.ones(1, 1, side, side)
    coarse = torch.rand(1, 1, side // BLOB + 2, side // BLOB + 2)
    smooth = F.interpolate(coarse, (side, side), mode="bicubic")
    return (smooth >= smooth.flatten().quantile(1 - share)).float()


def milliseconds(work: Callable[[], object], turns: int) -> float:
    """Return the least processor time of some turns."""
    work()
    times = []
    for _ in range(turns):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return 1000 * min(times)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    block, attention = DenseBlock(args.channels, LAYERS).eval(), SNL(args.channels).eval()
    dtype = getattr(torch, args.dtype)
    x = torch.rand(1, args.channels, args.side, args.side).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    print("| masked | SC dense | gathered | takes | SNL dense | gathered | takes | apart |")
    print("|---|---|---|---|---|---|---|---|")
    for share in SHARES:
        mask = blobs(args.side, share)
        with torch.inference_mode(), torch.autocast("cpu", dtype, dtype != torch.float32):
            forms: list[Callable[[], Tensor]] = [
                lambda mask=mask: block.dense(x, mask),
                lambda mask=mask: sparse_block(x, mask, list(block.convs), block.reduce),
                lambda mask=mask: gather(x, mask, attention.fuse1(x), sparse=False),
                lambda mask=mask: gather(x, mask, attention.fuse1(x), sparse=True),
            ]
            times = [milliseconds(form, args.turns) for form in forms]
            results = [form().float() for form in forms]
            taken = [pays(mask, below) for below in (SPARSE_BELOW, ATTENTION_BELOW)]
        apart = max(
            (a - b).abs().max().item() for a, b in zip(results[::2], results[1::2], strict=True)
        )
        names = ["gathered" if sparse else "dense" for sparse in taken]
        print(
            f"| {share:.0%} | {times[0]:.1f} | {times[1]:.1f} | {names[0]} "
            f"| {times[2]:.1f} | {times[3]:.1f} | {names[1]} | {apart:.0e} |"
        )


if __name__ == "__main__":
    main()
