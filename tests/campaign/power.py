"""SIGKILL at random moments of `restore`, `train`, `weights pull` and `convert`, then once more.

    python -m tests.campaign.power --kills 200 --seed 0
    python -m tests.campaign.power --only train --case 7 --seed 0      # one session again

A session is one job in a fresh folder: started, killed (up to four times, at moments uniform over
what an undisturbed run takes after its imports) and started again until it ends by itself. Moments
are of the processor time that the process has had, so that a busy machine does not shift them; for
`pull`, which waits for its server, of the clock. Only every fifth session starts Python anew; the
others are forked off a process with the imports behind it, which take longer than the jobs and
write nothing. In every third kill only the parent dies, and what it had started is orphaned. After
each kill no final name may hold less than a whole file; at the end the result must be the
undisturbed one's, and nothing temporary may be left. SIGKILL loses no write that the kernel has
taken: what a disk loses when its power fails is not tested by this.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaign.processes import Process
from tests.campaign.workloads import WORKLOADS, Workload, temporaries

MOST_KILLS = 4  # a session
LONGEST = 180.0  # seconds of one run
COLUMNS = (
    "kills", "parent only", "sessions", "runs", "ended first", "temporary after a kill",
    "half files", "done again", "orphans that stayed", "left at the end", "other results", "wrong",
)  # fmt: skip
FATAL = ("half files", "orphans that stayed", "left at the end", "other results", "wrong")


@dataclass
class Pace:
    """When an undisturbed run leaves its first trace and when it ends, on the job's clock."""

    first: float = 0.0
    end: float = 0.0


@dataclass
class Tally:
    """What happened to one command's job."""

    counts: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    def blame(self, column: str, text: str) -> None:
        """Count something wrong and keep what is to be said of it."""
        self.counts[column] += 1
        self.said.append(f"{column}: {text}")


def processor_time(pid: int) -> float:
    """Return the seconds that all threads of a process have run; 0 when it is gone."""
    total = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except (OSError, IndexError):
        return 0.0
    return total / 1e9


def members(session: int) -> list[int]:
    """Return the processes of a session that live."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                state, _, _, own = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            except (OSError, ValueError):
                continue
            if int(own) == session and state != "Z":
                found.append(int(path.name))
    return found


def is_fresh(case: int) -> bool:
    """Tell whether a session starts Python anew."""
    return case % 5 == 0


class Campaign:
    """The sessions of one command."""

    def __init__(self, work: Workload, folder: Path, seed: int) -> None:
        self.work, self.folder, self.seed = work, folder, seed
        self.tally = Tally()
        self.paces: dict[bool, Pace] = {}
        self.orphaned: list[int] = []

    def start(self, place: Path, case: int) -> Process:
        """Start a run as its session does."""
        self.tally.counts["runs"] += 1
        return self.work.start(place, case, fresh=is_fresh(case) or not self.work.forks)

    def clock(self, process: Process, started: float) -> float:
        """Return a run's time so far, by the clock that its moments are on."""
        if self.work.name == "pull":
            return time.monotonic() - started
        return processor_time(process.pid)

    def undisturbed(self) -> None:
        """Run the job twice in peace: the result to compare with, and how long it takes."""
        results = []
        for number in range(2):
            place = self.folder / f"undisturbed{number}"
            process = self.start(place, number)
            started, first, now = time.monotonic(), 0.0, 0.0
            while process.poll() is None:
                now = self.clock(process, started) or now
                first = first or (now if self.work.started(place) else 0.0)
                time.sleep(0.002)
            self.paces[is_fresh(number)] = Pace(first, now)
            if process.returncode:
                raise SystemExit((place / "stderr").read_text())
            results.append(self.work.result(place))
        if results[0] != results[1]:
            raise SystemExit(f"{self.work.name}: two undisturbed runs differ.")
        self.work.expected = results[0]

    def session(self, case: int, kills: int) -> None:
        """Kill a job up to `kills` times, let it end, and look at what it left."""
        rng = random.Random(f"{self.seed} {self.work.name} {case}")
        place, tally = self.folder / f"case{case}", self.tally
        tally.counts["sessions"] += 1
        pace = self.paces[is_fresh(case)]
        for _ in range(min(kills, rng.randint(1, MOST_KILLS))):
            # The imports' last fifth too: files are opened and settings read there.
            moment = rng.uniform(0.8 * pace.first, pace.end)
            if self._killed(place, case, moment, parent_only=rng.random() < 1 / 3):
                self._look(place, case)
            else:
                tally.counts["ended first"] += 1
                break
        self._finish(place, case)
        if not tally.said:
            shutil.rmtree(place)

    def _killed(self, place: Path, case: int, moment: float, *, parent_only: bool) -> bool:
        """Start a run and kill it at its moment; False if it ended before."""
        before = self.work.before(place)
        process = self.start(place, case)
        started = time.monotonic()
        while process.poll() is None and self.clock(process, started) < moment:
            time.sleep(0.001)
        if process.poll() is not None:
            self._ended(place, case, process.returncode, before)
            return False
        if parent_only:
            process.kill()
            self.tally.counts["parent only"] += 1
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(LONGEST)
        self.tally.counts["kills"] += 1
        self.orphaned += [process.pid] if parent_only else []
        return True

    def _look(self, place: Path, case: int) -> None:
        """Check what lies there right after a kill."""
        self.tally.counts["temporary after a kill"] += len(temporaries(self.work.outputs(place)))
        for text in self.work.broken(place):
            self.tally.blame("half files", f"case {case}: {text}")

    def _finish(self, place: Path, case: int) -> None:
        """Let the job end by itself, and compare."""
        before = self.work.before(place)
        process = self.start(place, case)
        if process.wait(LONGEST) is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(LONGEST)
            self.tally.blame("wrong", f"case {case}: hung for {LONGEST} s")
            return
        self._ended(place, case, process.returncode, before)
        if self.work.result(place) != self.work.expected:
            found, expected = self.work.result(place), self.work.expected
            names = [n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n)]
            self.tally.blame("other results", f"case {case}: {sorted(names)[:5]}")
        for path in temporaries(self.work.outputs(place)):
            self.tally.blame("left at the end", f"case {case}: {path}")
        self._await_orphans(case)

    def _ended(self, place: Path, case: int, code: int, before: object) -> None:
        """Check a run that nobody killed."""
        if not self.work.ended(place, code):
            text = (place / "stderr").read_text()[-500:]
            self.tally.blame("wrong", f"case {case}: ended with {code}: {text}")
            return
        again, wrong = self.work.repeated(place, before, (place / "stdout").read_text())
        self.tally.counts["done again"] += again
        if wrong:
            self.tally.blame("wrong", f"case {case}: {wrong}")

    def _await_orphans(self, case: int) -> None:
        """Return what a dead parent had started half a minute to notice."""
        deadline = time.monotonic() + 30
        for session in self.orphaned:
            while alive := members(session):
                if time.monotonic() > deadline:
                    self.tally.blame("orphans that stayed", f"case {case}: {alive}")
                    os.killpg(session, signal.SIGKILL)
                    break
                time.sleep(0.1)
        self.orphaned.clear()


def main() -> int:
    """Run the campaign; 1 if anything broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="over all commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=WORKLOADS, action="append")
    parser.add_argument("--case", type=int, help="one session, with --only")
    arguments = parser.parse_args()
    names = arguments.only or list(WORKLOADS)
    broken = False
    with tempfile.TemporaryDirectory(prefix="drcnet-power-") as name:
        tallies = {}
        for number, command in enumerate(names):
            kills = arguments.kills * (number + 1) // len(names)
            kills -= arguments.kills * number // len(names)
            work = WORKLOADS[command](Path(name, "shared"))
            campaign = Campaign(work, Path(name, command), arguments.seed)
            try:
                run(campaign, kills, arguments.case)
            finally:
                work.close()
            tallies[command] = campaign.tally
            broken |= any(campaign.tally.counts[column] for column in FATAL)
    report(tallies)
    return int(broken)


def run(campaign: Campaign, kills: int, case: int | None) -> None:
    """Run the sessions of one command until that many kills are done."""
    campaign.undisturbed()
    tally, name = campaign.tally, campaign.work.name
    sys.stderr.write(f"{name}: {campaign.paces}\n")
    cases = iter(range(10**6)) if case is None else iter([case])
    for number in cases:
        campaign.session(number, MOST_KILLS if case is not None else kills - tally.counts["kills"])
        sys.stderr.write(f"{name}: case {number}, {tally.counts['kills']} of {kills} kills\n")
        if tally.counts["kills"] >= kills:
            break


def report(tallies: dict[str, Tally]) -> None:
    """Print a row for each count and a column for each command, and all that went wrong."""
    lines = [f"{'':24}" + "".join(f"{name:>10}" for name in tallies)]
    for column in COLUMNS:
        counts = "".join(f"{tally.counts[column]:>10}" for tally in tallies.values())
        lines.append(f"{column:24}{counts}")
    for name, tally in tallies.items():
        lines += [f"{name}: {text}" for text in tally.said]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
