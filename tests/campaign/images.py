"""Damaged pictures by the ten thousand, read, restored and written again.

    python -m tests.campaign.images --count 20000 --seed 0
    python -m tests.campaign.images --case 4711 --keep /tmp/case    one case again

Batches run in a worker process of bounded memory, watched from outside: a crash or a hang is put
down to the case at hand, and the run goes on behind it. One batch in twenty is restored by a
process `drcnet restore`, `--bundled` cases by a checkpoint of the package, the rest in the worker
by a network that changes nothing, so that every pixel can be compared.
"""

import argparse
import faulthandler
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from drcnet_cli import settings

settings.share_processors()

import torch  # noqa: E402

from drcnet_cli.api import load_model  # noqa: E402
from drcnet_cli.networks.checkpoint import CheckpointInfo, save_checkpoint  # noqa: E402
from drcnet_cli.networks.drcnet import DRCNetConfig  # noqa: E402
from drcnet_cli.networks.drcnet.network import DRCNet  # noqa: E402
from tests.campaign.image_checks import (  # noqa: E402
    check_outputs,
    digests,
    identity_restorer,
    read_twice,
    restore_here,
    restore_in_process,
)
from tests.campaign.image_corpus import corpus  # noqa: E402
from tests.campaign.image_extremes import EXTREMES  # noqa: E402
from tests.campaign.image_mutations import Case, Corpus, every_case, make_case  # noqa: E402

BATCH = 100
PROCESS_EVERY = 20  # batches
SILENCE = 900.0  # seconds without a word after which a worker hangs
MEMORY = 3 * 2**30  # bytes that a worker and its children may take each


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--count", type=int, help="cases; default: every cut and as many damages")
    parser.add_argument("--first", type=int, default=0, help="go on from this case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundled", type=int, default=300, help="cases by a bundled checkpoint")
    parser.add_argument("--minutes", type=float, default=60, help="stop after this time")
    parser.add_argument("--case", type=int, help="run this one case alone")
    parser.add_argument("--keep", type=Path, help="with --case: leave its files here")
    parser.add_argument("--worker", type=int, nargs=2, metavar=("FROM", "TO"), help="internal")
    parser.add_argument("--skip", type=int, nargs="*", default=[], help="internal")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    if options.worker:
        run_worker(options)
        return 0
    if options.case is not None:
        how = "here" if options.case >= 0 else "process"
        case = _case(options.case, options.seed, corpus())
        problems = run_cases([case], how, Counter(), options.keep)
    else:
        return supervise(options)
    for _, problem in problems:
        print(problem)  # noqa: T201
    return 1 if problems else 0


# The worker


def run_worker(options: argparse.Namespace) -> None:
    """Run cases FROM to TO in batches; one line of JSON before each case and after each batch."""
    faulthandler.enable()
    torch.set_num_threads(1)
    files = corpus()
    for start, stop, how in _batches(*options.worker, options.bundled):
        numbers = [n for n in range(start, stop) if n not in options.skip]
        cases = [_case(number, options.seed, files) for number in numbers]
        if not cases:
            continue
        counts: Counter[str] = Counter()
        problems = run_cases(cases, how, counts, report=True)
        _say({"next": stop, "counts": counts, "problems": problems})


def _batches(first: int, last: int, bundled: int) -> Iterator[tuple[int, int, str]]:
    """Return each batch's cases and how they are restored; the extremes are one of their own."""
    bundled_batches = -(-bundled // BATCH)
    if first < 0:
        yield first, min(0, last), "process"
    for start in range(max(first, 0), last, BATCH):
        index = start // BATCH
        how = "process" if index % PROCESS_EVERY == 0 else "here"
        if index % PROCESS_EVERY == 7 and index // PROCESS_EVERY < bundled_batches:
            how = "bundled"
        yield start, min(start + BATCH, last), how


def _case(number: int, seed: int, files: Corpus) -> Case:
    """Return a damaged file, or for a negative number an extreme one."""
    if number >= 0:
        return make_case(number, seed, files)
    name, make = list(EXTREMES.items())[-1 - number]
    return Case(number, f"{name}: extreme", f"{-number:03}.{name.split()[0]}", make())


def run_cases(
    cases: list[Case],
    how: str,
    counts: Counter[str],
    keep: Path | None = None,
    report: bool = False,
) -> list[tuple[int, str]]:
    """Run some cases; give (number, what was wrong)."""
    top = keep or Path(tempfile.mkdtemp(prefix="images-", dir=_memory_folder()))
    source, target = top / "in", top / "out"
    source.mkdir(parents=True, exist_ok=True)
    by_path = {source / case.name: case for case in cases}
    for path, case in by_path.items():
        path.write_bytes(case.data)
    before = digests(source)
    pictures, found = {}, []
    for path, case in by_path.items():
        if report:
            _say({"at": case.number})
        pictures[path], problems = read_twice(path, counts)
        found += [(path, problem) for problem in problems]
    if report:
        _say({"at": cases[0].number, "restoring": how})
    told, general = _restore(how, source, target, top, counts)
    found += check_outputs(told, pictures, identity=how == "here")
    general += _check_folders(source, target, before, told)
    counts["failures reported"] += sum(item.error is not None for item in told)
    counts["outputs whole"] += sum(item.error is None for item in told)
    if keep is None:
        shutil.rmtree(top)
    problems = [(by_path[path].number, f"{by_path[path].about}: {what}") for path, what in found]
    return problems + [(cases[0].number, f"batch of {len(cases)}: {what}") for what in general]


def _restore(how: str, source: Path, target: Path, top: Path, counts: Counter[str]):
    counts[f"restored {how}"] += len(list(source.iterdir()))
    if how == "process":
        weights = tiny_weights(top)
        return restore_in_process(source, target, ["--weights", str(weights)])
    if how == "bundled":
        made = load_model("denoise", "cpu", "float32", offline=True).restorer()
        return restore_here(source, target, made), []
    return restore_here(source, target, identity_restorer()), []


def _check_folders(source: Path, target: Path, before: dict[str, str], told: list) -> list[str]:
    problems = []
    if digests(source) != before:
        problems.append("inputs changed")
    if len(told) != len(before):
        problems.append(f"{len(before)} inputs, {len(told)} outcomes")
    expected = {item.destination for item in told if not item.error}
    there = {path for path in target.rglob("*") if path.is_file()}
    problems += [f"left behind: {path.name}" for path in there - expected]
    return problems


def tiny_weights(folder: Path) -> Path:
    """Write a checkpoint of a small random network."""
    torch.manual_seed(0)
    net = DRCNet(DRCNetConfig(width=2, depth=1))
    path = folder / "tiny.safetensors"
    save_checkpoint(path, net.state_dict(), CheckpointInfo(net.config, "tiny", training_patch=64))
    return path


def _memory_folder() -> str | None:
    # The disk's flushes would take longer than everything else.
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


def _say(value: dict) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


# The supervisor


def supervise(options: argparse.Namespace) -> int:
    """Run every case in workers; print the counts; 1 if anything broke."""
    files = corpus()
    last = options.first + (options.count or every_case(files))
    counts, problems, started = Counter(), [], time.perf_counter()
    first = options.first or -len(EXTREMES)
    at, skip = first, []
    while at < last and time.perf_counter() - started < 60 * options.minutes:
        at, culprit = _watch(options, at, last, skip, counts, problems, started)
        if culprit is not None:
            skip.append(culprit)
    counts["whole files"], counts["cases"] = len(files), at - first
    counts["of these extremes"] = max(0, -first)
    for name, count in sorted(counts.items()):
        if count:
            print(f"{count:8}  {name}")  # noqa: T201
    for number, problem in problems:
        print(f"case {number}: {problem}")  # noqa: T201
    print(f"{len(problems)} problems, {time.perf_counter() - started:.0f} s")  # noqa: T201
    return 1 if problems else 0


def _watch(
    options: argparse.Namespace,
    at: int,
    last: int,
    skip: list[int],
    counts: Counter[str],
    problems: list[tuple[int, str]],
    started: float,
) -> tuple[int, int | None]:
    """Follow one worker to its end; give where to go on, and the case that killed or held it."""
    call = [sys.executable, "-m", "tests.campaign.images", "--worker", str(at), str(last)]
    call += ["--seed", str(options.seed), "--bundled", str(options.bundled)]
    call += ["--skip", *map(str, skip)]
    case: int | None = None
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=_noise_file()) as worker:
        assert worker.stdout
        while select.select([worker.stdout], [], [], SILENCE)[0]:
            line = worker.stdout.readline()
            if not line:
                break
            told = json.loads(line)
            case = told.get("at", case)
            if "next" in told:
                at, case = told["next"], None
                counts.update(told["counts"])
                problems += map(tuple, told["problems"])
                for number, problem in told["problems"]:
                    sys.stderr.write(f"\ncase {number}: {problem}\n")
                sys.stderr.write(f"\r{at}/{last} cases, {len(problems)} problems ")
                if time.perf_counter() - started > 60 * options.minutes:
                    worker.kill()
                    return at, None
        else:
            problems.append((case or at, "hangs"))
        worker.kill()
    if worker.returncode and at < last and (case or at, "hangs") not in problems:
        problems.append((case or at, f"the process died ({worker.returncode})"))
    return at, case


def _noise_file():
    return (Path(tempfile.gettempdir()) / "campaign-images-stderr.txt").open("ab")


if __name__ == "__main__":
    sys.exit(main())
