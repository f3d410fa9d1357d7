"""A Ray cluster of local nodes against as many plain processes, in one run.

    python benchmarks/ray_throughput.py FOLDER [--nodes 3] [--rounds 2] [--together]

Starts a cluster of so many nodes of one core each on this machine, and restores FOLDER on it and
in as many processes of one thread each, into temporary folders: in turn, or `--together`, so that
whatever else the machine does burdens both alike. Prints megapixels per second, from the first
output to the last (together: while both wrote), and the ratio. Also how many bundles of nothing Ray
Data hands out per second, which bounds the number of workers.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from drcnet_cli import settings

settings.use_threads(1)
settings.share_processors()
settings.prepare_ray()

from drcnet_cli.files.plan import Job, plan_files  # noqa: E402 - loads torch
from drcnet_cli.imageio import is_image_name  # noqa: E402
from drcnet_cli.parallel import processes  # noqa: E402
from drcnet_cli.parallel.cluster import ClusterOptions  # noqa: E402
from drcnet_cli.restore.config import RestoreConfig  # noqa: E402
from drcnet_cli.restore.outcome import RunObserver, WriteOptions  # noqa: E402


class Idle:
    """A worker that does nothing."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return what it got."""
        return batch


# When each output was written, and its megapixels.
Written = list[tuple[float, float]]


def restore(jobs: Sequence[Job], task: str, nodes: int, on_ray: bool) -> Written:
    """Restore on the cluster, or in so many processes; return what was written, and print when."""
    started = time.time()
    device = "cpu" if on_ray else ",".join(["cpu"] * nodes)
    config = RestoreConfig(task, device=device, dtype="float32")
    cluster = ClusterOptions("auto", shared_storage=True) if on_ray else None
    outcomes = processes.restore_jobs(jobs, config, WriteOptions(), RunObserver(), cluster)
    assert not any(outcome.error for outcome in outcomes)
    written = sorted((each.job.destination.stat().st_mtime, each.megapixels) for each in outcomes)
    name, first = "Ray" if on_ray else "processes", written[0][0] - started
    rate = speed(written, written[0][0], written[-1][0])
    print(f"{name}: first output after {first:.1f} s, {rate:.4f} MP/s", flush=True)
    return written


def speed(written: Written, begin: float, end: float) -> float:
    """Return the megapixels per second that were written after a time and until another."""
    return sum(size for moment, size in written if begin < moment <= end) / (end - begin)


def hand_out(count: int, workers: int, address: str) -> float:
    """Return how many bundles of nothing Ray Data hands out per second."""
    import ray
    import ray.data

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"bundle": b"x" * 2000}] * count
    pool = ray.data.ActorPoolStrategy(size=workers)
    told = ray.data.from_items(rows, override_num_blocks=count).map_batches(
        Idle, batch_size=None, compute=pool, num_cpus=1
    )
    marks = [time.perf_counter() for _ in told.iter_rows()]
    ray.shutdown()
    return (len(marks) - 1) / (marks[-1] - marks[0])


def main() -> None:
    """Start the cluster, restore in turn, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--task", default="denoise")
    parser.add_argument("--together", action="store_true")
    args = parser.parse_args()
    from ray.cluster_utils import Cluster as Nodes

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 2**27}
    nodes = Nodes(initialize_head=True, head_node_args=head)
    for _ in range(args.nodes):
        nodes.add_node(num_cpus=1, object_store_memory=2**27)
    os.environ["RAY_ADDRESS"] = nodes.address  # what `auto` joins
    try:
        handed = hand_out(1000, args.nodes, nodes.address)
        print(f"{handed:.0f} bundles handed out per second", flush=True)
        plain, ray = (measure_together if args.together else measure_in_turn)(args)
    finally:
        nodes.shutdown()
    print(f"{args.nodes} processes {plain:.4f} MP/s, {args.nodes} nodes {ray:.4f} MP/s")
    print(f"ratio {ray / plain:.3f}")


def measure_in_turn(args: argparse.Namespace) -> tuple[float, float]:
    """Return the mean rates of processes and of the cluster."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * args.rounds):
        on_ray = turn % 4 in (1, 2)  # so that a busier hour burdens both
        with tempfile.TemporaryDirectory() as out:
            jobs = plan_files([args.folder], out, is_image=is_image_name).jobs
            written = restore(jobs, args.task, args.nodes, on_ray)
            rates[on_ray].append(speed(written, written[0][0], written[-1][0]))
    return statistics.mean(rates[False]), statistics.mean(rates[True])


def measure_together(args: argparse.Namespace) -> tuple[float, float]:
    """Return the rates of processes and of the cluster while both wrote."""
    with tempfile.TemporaryDirectory() as out, ThreadPoolExecutor(2) as pool:
        plans = [
            plan_files([args.folder], Path(out) / name, is_image=is_image_name).jobs
            for name in ("processes", "ray")
        ]
        both = [
            pool.submit(restore, jobs, args.task, args.nodes, on_ray)
            for jobs, on_ray in zip(plans, (False, True), strict=True)
        ]
        plain, ray = (each.result() for each in both)
    begin, end = max(plain[0][0], ray[0][0]), min(plain[-1][0], ray[-1][0])
    return speed(plain, begin, end), speed(ray, begin, end)


if __name__ == "__main__":
    main()
