"""The network's speed against the released code's, in turns of two processes.

    python benchmarks/network_speed.py [--width 16] [--threads 1] [--batch 1] [--side 256]
                                       [--dtype bfloat16] [--turns 9]

One process runs the released network in eager float32 (`released_network.py`), the other ours as
`drcnet restore` does. They take turns, so a busy machine slows both alike; printed are the medians
over turns of seconds, of processor seconds, and of the ratios of each pair of turns.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time


def main() -> None:
    """Compare, or serve as one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--serve", choices=["released", "ours"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        _serve(args)
    else:
        _compare(args)


def _compare(args: argparse.Namespace) -> None:
    command = [sys.executable, *sys.argv, "--serve"]
    sides = {
        name: subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("released", "ours")
    }
    times: dict[str, list[list[float]]] = {name: [] for name in sides}
    for side in sides.values():  # the first turns prepare
        _turn(side)
        _turn(side)
    for _ in range(args.turns):
        for name, side in sides.items():
            times[name].append(_turn(side))
    for side in sides.values():
        side.communicate()
    for index, unit in enumerate(("s", "processor s")):
        released, ours = ([turn[index] for turn in times[name]] for name in ("released", "ours"))
        ratio = statistics.median(a / b for a, b in zip(released, ours, strict=True))
        print(
            f"released {statistics.median(released):.4f} {unit}, "
            f"ours {statistics.median(ours):.4f} {unit}, ratio {ratio:.2f}"
        )


def _turn(side: subprocess.Popen) -> list[float]:
    assert side.stdin and side.stdout
    side.stdin.write(b"go\n")
    side.stdin.flush()
    return json.loads(side.stdout.readline())


def _serve(args: argparse.Namespace) -> None:
    from drcnet_cli import settings

    settings.share_processors()
    if args.serve == "ours":
        settings.keep_memory()
    import torch
    from released_network import ReleasedNetwork

    from drcnet_cli.networks.drcnet import DRCNetConfig
    from drcnet_cli.networks.drcnet.cpu import FastDRCNet
    from drcnet_cli.networks.drcnet.network import DRCNet

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    network = DRCNet(DRCNetConfig(width=args.width)).eval()
    run = FastDRCNet(network, getattr(torch, args.dtype))
    if args.serve == "released":
        run = ReleasedNetwork(network.config).eval()
        run.load_state_dict(network.state_dict())
    x = torch.rand(args.batch, 3, args.side, args.side)
    for _ in sys.stdin:
        used, started = time.process_time(), time.perf_counter()
        with torch.inference_mode():
            run(x)
        elapsed = time.perf_counter() - started
        print(json.dumps([elapsed, time.process_time() - used]), flush=True)


if __name__ == "__main__":
    main()
