"""Disks that are full or read-only: what every command that writes says, leaves, and does next.

    python -m tests.campaign.disk                     # as root, or within `unshare --map-root-user
    python -m tests.campaign.disk --only restore      # --mount`, since it mounts small tmpfs

Each job's folder is a tmpfs with room for a part of the result: nothing, a tenth, ... all but a
little; then one with too few inodes; then read-only ones, empty and half filled. A run must end
with one sentence and a code that is not 0, without a traceback, with whole files under final names
and nothing temporary. Then the disk gets room, and the same command must give the result of an
undisturbed run. Last, commands whose standard output is full, and caches that take nothing.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.campaign.disk_workloads import DISK_WORKLOADS
from tests.campaign.processes import start_fresh
from tests.campaign.workloads import WORKLOADS, Workload, environment, temporaries

ALL = {**WORKLOADS, **DISK_WORKLOADS}
PAGE = 4096
SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95)  # of what the job takes at most
LONGEST = 180.0
COLUMNS = (
    "runs", "refused", "had room", "sentences too many", "no sentence", "exit code 0",
    "tracebacks", "half files", "left behind", "no end with room", "other results",
)  # fmt: skip
FATAL = COLUMNS[3:]


class Disk:
    """A tmpfs, as a context manager."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __enter__(self) -> "Disk":
        self.place.mkdir(parents=True, exist_ok=True)
        self._mount("-t", "tmpfs", "tmpfs", str(self.place))
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", str(self.place)], check=True)

    def set(self, options: str) -> None:
        """Change its size, its inodes, or whether it can be written to."""
        self._mount("-o", f"remount,{options}", str(self.place))

    def _mount(self, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{done.stderr}Run it as root, or within unshare -rm.")


def pages(folder: Path) -> int:
    """Return the bytes that the files below a folder take on a tmpfs."""
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*"))


class Campaign:
    """One job on disks of many sizes."""

    def __init__(self, work: Workload, folder: Path) -> None:
        self.work, self.folder = work, folder
        self.counts: Counter[str] = Counter()
        self.said: list[str] = []
        self.sentences: Counter[str] = Counter()
        self.needed = 0

    def run(self) -> None:
        """Run it all."""
        place = self.folder / "undisturbed"
        if code := self.start(place):
            raise SystemExit(f"{self.work.name}: {code}: {(place / 'stderr').read_text()}")
        self.work.expected = self.work.result(place)
        self.needed = pages(self.work.outputs(place))
        for share in SHARES:
            size = max(1, round(share * self.needed / PAGE)) * PAGE
            self.case(f"size{share}", f"size={size}")
        self.case("inodes", "nr_inodes=3")
        self.case("read-only", "ro")
        self.case("half, then read-only", f"size={max(PAGE, self.needed // 2)}", "ro")

    def case(self, name: str, *limits: str) -> None:
        """Run on a disk under each of the limits in turn, then with room."""
        place = self.folder / name.replace(" ", "-")
        with Disk(self.work.outputs(place)) as disk:
            for limit in limits:
                disk.set(limit)
                self._refused(name, place)
            disk.set("rw,size=1g,nr_inodes=10000")
            code = self.start(place)
            if not self.work.ended(place, code):
                self.blame("no end with room", name, f"{code}: {(place / 'stderr').read_text()}")
            elif self.work.result(place) != self.work.expected:
                found, expected = self.work.result(place), self.work.expected
                names = {n for n in {**found, **expected} if found.get(n) != expected.get(n)}
                self.blame("other results", name, str(sorted(names)))
            self._left(name, place)

    def _refused(self, name: str, place: Path) -> None:
        code = self.start(place)
        errors = (place / "stderr").read_text()
        if "Traceback" in errors:
            self.blame("tracebacks", name, errors[-600:])
        if wrong := self.work.broken(place):
            self.blame("half files", name, str(wrong))
        self._left(name, place)
        sentences = [line for line in errors.splitlines() if line.startswith(("Error", "Failed"))]
        if not sentences:
            # Some sizes are enough: what a run needs beside its result is less than the sizes say.
            enough = code == 0 and self.work.result(place) == self.work.expected
            self.counts["had room"] += enough
            if not enough:
                self.blame("no sentence" if code else "exit code 0", name, errors[-600:])
            return
        self.counts["refused"] += 1
        self.sentences[sentences[0].replace(str(place), "...")[:200]] += 1
        if code == 0:
            self.blame("exit code 0", name, sentences[0])
        if len(sentences) > self.work.sentences:
            self.blame("sentences too many", name, "\n".join(sentences))

    def _left(self, name: str, place: Path) -> None:
        for path in temporaries(self.work.outputs(place)):
            self.blame("left behind", name, str(path))

    def start(self, place: Path) -> int:
        """Run the job to its end; give its code."""
        self.counts["runs"] += 1
        process = self.work.start(place, 0, fresh=not self.work.forks)
        code = process.wait(LONGEST)
        if code is None:
            process.kill()
            process.wait(LONGEST)
            return -1
        return code

    def blame(self, column: str, name: str, text: str) -> None:
        """Count something wrong and keep what is to be said of it."""
        self.counts[column] += 1
        self.said.append(f"{self.work.name}, {name}: {column}: {text}")


def full_output(folder: Path) -> list[str]:
    """Run commands whose standard output is a full device; say what is wrong with their ends."""
    folder.mkdir()
    wrong = []
    calls = (
        ["weights", "list"], ["weights", "list", "--json"], ["weights", "verify"],
        ["weights", "path", "denoise"], ["--version"], ["--help"], ["eval", "--list"],
        ["eval", "--list", "--json"], ["doctor"], ["train", "--print-config"],
    )  # fmt: skip
    for call in calls:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "drcnet_cli", *call],
                stdout=full, stderr=subprocess.PIPE, text=True, check=False,
                env=environment(folder), cwd=folder,
            )  # fmt: skip
        said = done.stderr.strip().splitlines()
        if done.returncode == 0 or "Traceback" in done.stderr or "ignored" in done.stderr:
            wrong.append(f"{' '.join(call)} > /dev/full: {done.returncode}: {said[-3:]}")
    return wrong


def closed_caches(folder: Path) -> list[str]:
    """Run with caches that take nothing what needs none of them; say what failed."""
    wrong = []
    restore, train = ALL["restore"](folder / "a"), ALL["train"](folder / "b")
    with Disk(folder / "cache") as disk:
        for limit in ("size=4096,nr_inodes=1", "ro"):
            disk.set(limit)
            for work in (restore, train):
                place = folder / f"{work.name}-{limit}"
                place.mkdir()
                command = work.command(place, 0)
                if work is restore:  # a bundled checkpoint, looked up beside the cache
                    spot = command.index("-w")
                    command[spot : spot + 2] = ["--task", "denoise"]
                names = ("DRCNET_CACHE", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "HF_HOME")
                closed = dict.fromkeys(names, str(folder / "cache"))
                process = start_fresh(command, {**environment(place), **closed}, place)
                if code := process.wait(LONGEST):
                    text = (place / "stderr").read_text()[-600:]
                    wrong.append(f"{work.name}, cache {limit}: {code}: {text}")
    return wrong


def main() -> int:
    """Run the campaign; 1 if anything broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=[*ALL, "stdout", "caches"], action="append")
    names = parser.parse_args().only or [*ALL, "stdout", "caches"]
    wrong: list[str] = []
    rows = [f"{'':20}" + "".join(f"{name:>9}" for name in names if name in ALL)]
    done = []
    with tempfile.TemporaryDirectory(prefix="drcnet-disk-") as folder:
        for name in names:
            if name not in ALL:
                check = full_output if name == "stdout" else closed_caches
                wrong += check(Path(folder, name))
                continue
            work = ALL[name](Path(folder, "shared"))
            campaign = Campaign(work, Path(folder, name))
            try:
                campaign.run()
            finally:
                work.close()
            done.append(campaign)
            wrong += campaign.said
            sys.stderr.write(f"{name}: {dict(campaign.counts)}\n")
    for column in COLUMNS:
        rows.append(f"{column:20}" + "".join(f"{item.counts[column]:>9}" for item in done))
    for item in done:
        rows += [f"{item.work.name}: {n} x {text}" for text, n in item.sentences.items()]
    sys.stdout.write("\n".join([*rows, *wrong]) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
