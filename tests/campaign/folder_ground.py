"""A folder for `drcnet restore` to be run on as a process, and what went wrong there."""

import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

from tests.campaign.image_corpus import cases, make

TIMEOUT = 300
MEMORY = 3 * 2**30
GOOD = make.png(cases.RGB8)
BAD = GOOD[: len(GOOD) // 2]


class Ground:
    """One scenario's folder: files to make, the command to run, and what went wrong so far."""

    def __init__(self, top: Path, weights: Path) -> None:
        self.top, self.weights = top, weights
        self.problems: list[str] = []
        self.inputs = top / "in"
        self.inputs.mkdir(parents=True)

    def put(self, name: str | bytes, data: bytes = GOOD) -> Path:
        path = self.top / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def run(
        self, *arguments: str, code: int | tuple[int, ...] = 0, obeying: bool = False, **options
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `drcnet restore`; `obeying` permissions, which root does not."""
        call = [sys.executable, "-m", "drcnet_cli", "restore", "-w", str(self.weights)]
        run = subprocess.run(
            [*call, *arguments],
            cwd=self.top,
            timeout=TIMEOUT,
            preexec_fn=obey if obeying else bound,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            **{"stdin": subprocess.DEVNULL, "capture_output": True} | options,
        )
        codes = code if isinstance(code, tuple) else (code,)
        said = (run.stderr or b"")[-600:]
        self.expect(run.returncode in codes, f"exit code {run.returncode}, not {code}: {said!r}")
        self.expect(b"Traceback" not in (run.stderr or b""), f"a traceback: {said!r}")
        return run

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.problems.append(otherwise)

    def expect_outputs(self, *names: str, folder: str = "out") -> None:
        there = {str(p.relative_to(self.top / folder)) for p in (self.top / folder).rglob("*")
                 if not p.is_dir()}  # fmt: skip
        self.expect(there == set(names), f"{folder} holds {sorted(there)}, not {sorted(names)}")


def bound() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def obey() -> None:
    """Drop root's right to pass over permissions: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    bound()
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
