"""A Ray cluster of local nodes against as many plain processes, in turn, in one run.

    python benchmarks/ray_throughput.py FOLDER [--nodes 3] [--rounds 2] [--task denoise]

Starts a cluster of so many nodes of one core each on this machine, and restores FOLDER on it and
in as many processes of one thread each, into a temporary folder. Prints megapixels per second, from
the first output to the last (the start of either is told apart), and the ratio of both. Also how
many bundles of nothing Ray Data hands out per second, which bounds the number of workers.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
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
from drcnet_cli.restore.pipeline import RunObserver, WriteOptions  # noqa: E402


class Idle:
    """A worker that does nothing."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return what it got."""
        return batch


def restore(jobs: Sequence[Job], config: RestoreConfig, cluster: ClusterOptions | None) -> float:
    """Restore, print what it took, and return megapixels per second after the first output."""
    started = time.time()
    outcomes = processes.restore_jobs(jobs, config, WriteOptions(), RunObserver(), cluster)
    assert not any(outcome.error for outcome in outcomes)
    written = sorted(job.destination.stat().st_mtime for job in jobs)
    sizes = {outcome.job: outcome.megapixels for outcome in outcomes}
    first = min(jobs, key=lambda job: job.destination.stat().st_mtime)
    rate = (sum(sizes.values()) - sizes[first]) / (written[-1] - written[0])
    name = "Ray" if cluster else "processes"
    print(f"{name}: first output after {written[0] - started:.1f} s, {rate:.4f} MP/s", flush=True)
    return rate


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
    args = parser.parse_args()
    from ray.cluster_utils import Cluster as Nodes

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 2**27}
    nodes = Nodes(initialize_head=True, head_node_args=head)
    for _ in range(args.nodes):
        nodes.add_node(num_cpus=1, object_store_memory=2**27)
    os.environ["RAY_ADDRESS"] = nodes.address  # what `auto` joins
    rates: dict[bool, list[float]] = {False: [], True: []}
    try:
        print(f"{hand_out(1000, args.nodes, nodes.address):.0f} bundles handed out per second")
        for turn in range(2 * args.rounds):
            on_ray = turn % 4 in (1, 2)  # in turn, so that a busier hour burdens both
            device = "cpu" if on_ray else ",".join(["cpu"] * args.nodes)
            config = RestoreConfig(args.task, device=device, dtype="float32")
            with tempfile.TemporaryDirectory() as out:
                jobs = plan_files([args.folder], out, is_image=is_image_name).jobs
                cluster = ClusterOptions("auto", shared_storage=True) if on_ray else None
                rates[on_ray].append(restore(jobs, config, cluster))
    finally:
        nodes.shutdown()
    plain, ray = (statistics.mean(rates[kind]) for kind in (False, True))
    print(f"{args.nodes} processes {plain:.4f} MP/s, {args.nodes} nodes {ray:.4f} MP/s")
    print(f"ratio {ray / plain:.3f}")


if __name__ == "__main__":
    main()
