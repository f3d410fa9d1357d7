"""File systems that are out to get `drcnet restore`: names, links, pipes, permissions, vanishing.

    python -m tests.campaign.folders
    python -m tests.campaign.folders --only names_on_a_terminal

Each scenario runs the command as a process on a folder of its own and gives what went wrong.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.campaign.folder_ground import BAD, GOOD, TIMEOUT, Ground, bound
from tests.campaign.folder_names import names, names_on_a_terminal, single_names
from tests.campaign.image_checks import digests
from tests.campaign.images import tiny_weights

STREAMS = {  # with the exit codes; of a pipe the shell gives the last program's
    "- - < /dev/zero > x.png": 1,
    "- y.png < /dev/null": 1,
    "in/a.png - > /dev/full": 1,
    "in out --json > /dev/full": 1,
    "in out1 --json >&- 2>&-": 0,
    "in out2 2>&-": 0,
    "in out3 --json | true": 0,
    "in/a.png - | head -c 5": 0,
}


# Links and things that are no files


def links(ground: Ground) -> None:
    ground.put("in/a.png")
    ground.put("in/sub/b.png")
    ground.put("elsewhere/c.png")
    for link, target in {
        "in/self.png": "self.png", "in/one.png": "two.png", "in/two.png": "one.png",
        "in/dangling.png": "nowhere.png", "in/loop": ".", "in/sub/up": "..", "in/sub/top": "../..",
        "in/other": "../elsewhere", "elsewhere/back": "../in", "in/file.png": "../elsewhere/c.png",
        "in/zero.png": "/dev/zero", "in/self": "self", "in/mem.png": "/proc/self/mem",
    }.items():  # fmt: skip
        (ground.top / link).symlink_to(target)
    run = ground.run("in", "out", code=(0, 1))
    there = {p.name for p in (ground.top / "out").rglob("*") if p.is_file()}
    ground.expect({"a.png", "b.png", "c.png", "file.png"} <= there, f"outputs are {sorted(there)}")
    ground.expect(len(list((ground.top / "out").rglob("*.png"))) < 20, "a loop was followed")
    ground.expect(b"mem.png" in run.stderr, "what cannot be read is not reported")
    for name in ("self.png", "dangling.png", "zero.png"):
        ground.run(f"in/{name}", "x.png", code=2)


def outputs_that_are_links(ground: Ground) -> None:
    source = ground.put("in/a.png")
    before = source.read_bytes()
    (ground.top / "same").symlink_to("in")
    ground.run("in", "same", code=2)
    (ground.top / "out").mkdir()
    (ground.top / "out/a.png").symlink_to("../in/a.png")
    ground.run("in", "out", "--overwrite", code=2)
    (ground.top / "hard").mkdir()
    (ground.top / "hard/a.png").hardlink_to(source)
    ground.run("in", "hard", "--overwrite", code=2)
    ground.expect(source.read_bytes() == before, "the input changed")
    (ground.top / "away").mkdir()
    (ground.top / "linked").symlink_to("away")
    ground.run("in", "linked")
    ground.expect((ground.top / "away/a.png").exists(), "a linked output folder was not used")
    (ground.top / "dangling").symlink_to("nowhere/at/all")
    ground.run("in", "dangling", code=(0, 1, 2))


def special_files(ground: Ground) -> None:
    ground.put("in/a.png")
    os.mkfifo(ground.inputs / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(ground.inputs)  # a socket's path is short
        server.bind("socket.png")
        os.chdir(ground.top)
        run = ground.run("in", "out")
    ground.expect_outputs("a.png")
    ground.expect(b"2 not images" in run.stderr, f"said {run.stderr!r}")
    ground.run("in/pipe.png", "x.png", code=2)
    os.mkfifo(ground.top / "fifo")
    ground.run("in", "fifo", code=2)
    ground.run("in/a.png", "/dev/null", code=2)
    os.mkfifo(ground.top / "out" / "b.png")
    ground.put("in/b.png")
    ground.run("in", "out", code=2)


def folders_in_each_other(ground: Ground) -> None:
    ground.put("in/a.png")
    ground.put("in/sub/b.png")
    before = digests(ground.inputs)
    for call in (["in", "in"], ["in", "in/"], ["in", "in/../in"], ["in/.", "in"], [".", "."]):
        ground.run(*call, code=2)
    ground.expect(digests(ground.inputs) == before, "inputs changed")
    for _ in range(3):
        ground.run("in", "in/out")
    ground.expect_outputs("a.png", "sub/b.png", folder="in/out")
    ground.run("in/sub", "in", code=0)
    ground.expect((ground.inputs / "b.png").exists(), "no output above the input")
    ground.run("in", "in/sub", code=(0, 2))
    ground.run("in/a.png", "in/a.png", code=2)
    ground.run("in", "in", "out2", code=0)


def deep_folders(ground: Ground) -> None:
    ground.put("in/a.png")
    at = os.open(ground.inputs, os.O_RDONLY)
    for _ in range(60):  # 60 x 100 bytes: more than a path may have
        os.mkdir("d" * 100, dir_fd=at)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("b.png", os.O_CREAT, dir_fd=at))
    os.close(at)
    run = ground.run("in", "out", code=(1, 2))
    ground.expect(b"d" * 100 in run.stderr, "what lies too deep is not reported")
    many = ground.top / "many"
    for _ in range(400):
        many /= "e"
    many.mkdir(parents=True)
    shutil.copy(ground.inputs / "a.png", many)
    ground.run("many", "out2")


# Permissions


def permissions(ground: Ground) -> None:
    ground.put("in/a.png")
    ground.put("in/secret.png").chmod(0)
    ground.put("in/locked/b.png").parent.chmod(0)
    ground.put("in/listed/c.png").parent.chmod(0o444)
    run = ground.run("in", "out", code=1, obeying=True)
    for name in (b"secret.png", b"locked", b"listed"):
        ground.expect(name in run.stderr, f"{name!r} is not reported: {run.stderr!r}")
    ground.expect_outputs("a.png")
    ground.run("in/secret.png", "x.png", code=(1, 2), obeying=True)
    ground.run("in/locked/b.png", "x.png", code=(1, 2), obeying=True)
    (ground.top / "shut").mkdir(mode=0o555)
    run = ground.run("in/a.png", "shut/", code=1, obeying=True)
    ground.expect(b"a.png" in run.stderr, f"said {run.stderr!r}")
    run = ground.run("in/a.png", "shut/new/", code=1, obeying=True)
    run = ground.run("in/a.png", "in/locked/x.png", code=(1, 2), obeying=True)
    before = (ground.inputs / "a.png").read_bytes()
    ground.inputs.chmod(0o555)
    ground.run("--in-place", "in/a.png", code=1, obeying=True)
    ground.inputs.chmod(0o755)
    ground.expect((ground.inputs / "a.png").read_bytes() == before, "the input changed")
    for name in ("locked", "listed"):
        (ground.inputs / name).chmod(0o755)


def in_place(ground: Ground) -> None:
    good = [ground.put(f"in/{n}.png") for n in range(5)]
    bad = [ground.put(f"in/bad{n}.jpg", BAD) for n in range(5)]
    (ground.inputs / "link.png").symlink_to("0.png")
    ground.run("--in-place", "in", code=1)
    ground.expect(all(path.read_bytes() != GOOD for path in good), "not replaced")
    ground.expect(all(path.read_bytes() == BAD for path in bad), "a broken input was changed")
    ground.expect((ground.inputs / "link.png").is_symlink(), "a link became a file")
    ground.expect(len(list(ground.inputs.iterdir())) == 11, "something was left behind")


# Sizes, streams, and things that change meanwhile


def sizes(ground: Ground) -> None:
    with (ground.inputs / "sparse.png").open("wb") as file:
        file.truncate(9 * 2**30)
    ground.put("in/empty.png", b"")
    ground.put("in/a.png")
    run = ground.run("in", "out", code=1)
    ground.expect(b"9 GiB" in run.stderr and b"0 bytes" in run.stderr, f"said {run.stderr!r}")
    ground.expect_outputs("a.png")


def streams(ground: Ground) -> None:
    ground.put("in/a.png")
    for unbuffered in ("1", ""):
        for tail, code in STREAMS.items():
            call = f"{sys.executable} -m drcnet_cli restore -q -w {ground.weights} {tail}"
            run = subprocess.run(
                call,
                shell=True,
                cwd=ground.top,
                capture_output=True,
                timeout=TIMEOUT,
                preexec_fn=bound,
                env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
                check=False,
            )
            ground.expect(run.returncode == code, f"{tail}: exit code {run.returncode}")
            ground.expect(b"Traceback" not in run.stderr, f"{tail}: {run.stderr[-500:]!r}")
            ground.expect(run.stderr.count(b"\n") < 3, f"{tail}: {run.stderr[-500:]!r}")
    ground.expect(not (ground.top / "y.png").exists(), "an output of nothing")


def things_that_change(ground: Ground) -> None:
    for number in range(300):
        ground.put(f"in/{number:03}.png")

    def meddle() -> None:
        time.sleep(2.5)
        for number in range(299, 0, -2):
            (ground.inputs / f"{number:03}.png").unlink(missing_ok=True)
            shutil.rmtree(ground.top / "out", ignore_errors=True)
            time.sleep(0.02)

    thread = threading.Thread(target=meddle)
    thread.start()
    ground.run("in", "out", "--json", code=(0, 1))
    thread.join()
    torn = [p.name for p in (ground.top / "out").rglob("*") if p.suffix == ".tmp"]
    ground.expect(not torn, f"left behind: {torn}")


SCENARIOS: dict[str, Callable[[Ground], None]] = {
    check.__name__: check
    for check in (names, names_on_a_terminal, single_names, links, outputs_that_are_links,
                  special_files, folders_in_each_other, deep_folders, permissions, in_place, sizes,
                  streams, things_that_change)
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--only", choices=SCENARIOS)
    wanted = parser.parse_args().only
    top = Path(tempfile.mkdtemp(prefix="folders-"))
    weights = tiny_weights(top)
    broken = 0
    for name, scenario in SCENARIOS.items():
        if wanted and name != wanted:
            continue
        ground = Ground(top / name, weights)
        scenario(ground)
        broken += len(ground.problems)
        print(f"{len(ground.problems):3} problems  {name}")  # noqa: T201
        for problem in ground.problems:
            print(f"      {problem}")  # noqa: T201
    shutil.rmtree(top, ignore_errors=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
