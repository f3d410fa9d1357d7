"""How long the device waits for files: a folder of photographs restored, the idle share printed.

    python benchmarks/pipeline.py FOLDER OUT [--task denoise] [--device auto]

Restores every photograph of FOLDER into OUT (which must not exist) as `drcnet restore` does, and
prints megapixels per second, and the seconds in which the computing thread had no picture.
"""

import argparse
import sys
import time
from pathlib import Path

from drcnet_cli.api import load_model
from drcnet_cli.files.plan import plan_files
from drcnet_cli.imageio import is_image_name
from drcnet_cli.restore.outcome import RunObserver, WriteOptions
from drcnet_cli.restore.pipeline import restore_files


def main() -> None:
    """Restore the folder and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", default="denoise")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    if args.out.exists():
        sys.exit(f"{args.out} exists already.")
    restorer = load_model(args.task, args.device).restorer()
    plan = plan_files([args.folder], args.out, is_image=is_image_name)
    watch = RunObserver()
    started = time.perf_counter()
    outcomes = restore_files(plan.jobs, restorer, WriteOptions(), watch)
    seconds = time.perf_counter() - started
    megapixels = sum(outcome.megapixels for outcome in outcomes)
    computing = sum(outcome.seconds for outcome in outcomes)
    print(f"{len(outcomes)} photographs, {megapixels:.1f} MP, {restorer.describe()}")
    print(f"{seconds:.1f} s in all, {megapixels / seconds:.3f} MP/s")
    print(f"computing {computing:.1f} s; waiting for a picture {watch.waited:.2f} s")
    print(f"the device waits {100 * (1 - computing / seconds):.1f} % of the time")


if __name__ == "__main__":
    main()
