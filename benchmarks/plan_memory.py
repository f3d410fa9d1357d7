"""What many pictures cost the driver of a run: seconds, and bytes of memory at its peak.

    python benchmarks/plan_memory.py [--names 1000000] [--folder DIR]

Makes so many empty files below DIR (a temporary folder, removed at the end), a thousand a folder,
plans their restoration as `drcnet restore` does, packs the plan into bundles as `--ray` does, and
keeps an outcome of each job as a run does.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from drcnet_cli.files.packed import Packed
from drcnet_cli.files.plan import plan_files
from drcnet_cli.imageio import is_image_name
from drcnet_cli.parallel.bundles import make_bundles
from drcnet_cli.restore.outcome import Outcome

A_FOLDER = 1000


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def make_names(folder: Path, count: int) -> None:
    """Make so many empty files with names like a camera's."""
    for start in range(0, count, A_FOLDER):
        place = folder / f"{start // A_FOLDER:06}"
        place.mkdir(parents=True)
        for index in range(start, min(start + A_FOLDER, count)):
            (place / f"IMG_{index:09}.jpg").touch()


def main() -> None:
    """Make names, plan, pack, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=10**6)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        make_names(Path(folder) / "in", args.names)
        before, started = peak(), time.perf_counter()
        plan = plan_files([Path(folder) / "in"], Path(folder) / "out", is_image=is_image_name)
        planned, seconds = peak(), time.perf_counter() - started
        each = (planned - before) / len(plan.jobs)
        print(f"{len(plan.jobs)} jobs planned in {seconds:.1f} s")
        print(
            f"peak {planned / 1e6:.0f} MB, {before / 1e6:.0f} MB of it before; {each:.0f} B a job"
        )
        started = time.perf_counter()
        packed = [len(bundle) for bundle in make_bundles(enumerate(plan.jobs))]
        seconds = time.perf_counter() - started
        print(f"{len(packed)} bundles, {sum(packed) / 1e6:.0f} MB, in {seconds:.1f} s")
        print(f"peak {peak() / 1e6:.0f} MB")
        outcomes = Packed(Outcome(job, 12.0, index / 7) for index, job in enumerate(plan.jobs))
        print(f"{len(outcomes)} outcomes kept; peak {peak() / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
