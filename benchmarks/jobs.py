"""Processes against threads on this machine's CPU: pictures restored by 1, 2, 4, ... processes.

    python benchmarks/jobs.py FOLDER [--rounds 2] [--task denoise] [--dtype float32]

All of them share the cores: with N processes each has the N-th part as threads. Prints megapixels
per second from the first output to the last, the seconds before the first, and the largest memory
that a process took; the best of the rounds, which are taken in turn.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from drcnet_cli import settings

settings.share_processors()
settings.keep_memory()

from drcnet_cli.device import usable_cores  # noqa: E402 - loads torch
from drcnet_cli.files.plan import plan_files  # noqa: E402
from drcnet_cli.imageio import is_image_name  # noqa: E402
from drcnet_cli.parallel.processes import restore_jobs  # noqa: E402
from drcnet_cli.restore.config import RestoreConfig  # noqa: E402
from drcnet_cli.restore.outcome import WriteOptions  # noqa: E402


def restore(folder: Path, count: int, task: str, dtype: str) -> tuple[float, float]:
    """Restore a folder in so many processes: megapixels per second, seconds to the first output."""
    config = RestoreConfig(task, device=",".join(["cpu"] * count), dtype=dtype)
    with tempfile.TemporaryDirectory() as out:
        jobs = plan_files([folder], out, is_image=is_image_name).jobs
        started = time.time()
        outcomes = restore_jobs(jobs, config, WriteOptions())
        written = {job: job.destination.stat().st_mtime for job in jobs}
    first, last = min(written.values()), max(written.values())
    megapixels = sum(each.megapixels for each in outcomes if written[each.job] > first)
    return megapixels / (last - first), first - started


def main() -> None:
    """Restore with each number of processes in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--task", default="denoise")
    parser.add_argument("--dtype", default="float32")
    args = parser.parse_args()
    cores = usable_cores()
    counts = [2**power for power in range(cores.bit_length()) if 2**power <= cores]
    taken = [
        (count, *restore(args.folder, count, args.task, args.dtype))
        for _ in range(args.rounds)
        for count in counts
    ]
    print(f"{cores} cores\n| processes | MP/s | first output after s |\n|---|---|---|")
    for count in counts:
        rate, first = max((rate, first) for each, rate, first in taken if each == count)
        print(f"| {count} | {rate:.4f} | {first:.1f} |")
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"largest process: {most / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
