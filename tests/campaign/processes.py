"""Processes in a session of their own: a fresh Python, or forked off this one to save its imports.

All have their output in the files `stdout` and `stderr` of their folder.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol


class Process(Protocol):
    """What a campaign needs of a process."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit code, if it has ended."""
        ...

    def wait(self, timeout: float) -> int | None:
        """Wait some seconds for the exit code."""
        ...

    def kill(self) -> None:
        """Send SIGKILL to this process alone."""
        ...


class _Waiting:
    """The part that both kinds share."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float) -> int | None:
        deadline = time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.returncode

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class _Fresh(_Waiting):
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        self.returncode = self.process.poll()
        return self.returncode


class _Forked(_Waiting):
    def __init__(self, pid: int) -> None:
        self.pid = pid


def start_fresh(command: list[str], environment: dict[str, str], folder: Path) -> Process:
    """Start a command as any shell does."""
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        return _Fresh(
            subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        )


def start_forked(command: list[str], environment: dict[str, str], folder: Path) -> Process:
    """Run a `python -m drcnet_cli ...` command in a fork; its modules are loaded here, once."""
    from PIL import Image

    import drcnet_cli.api
    import drcnet_cli.cli._progress
    import drcnet_cli.cli.app
    import drcnet_cli.networks.drcnet.released
    import drcnet_cli.restore.pipeline
    import drcnet_cli.train.loop  # noqa: F401

    Image.init()

    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return _Forked(pid)
    code = 70  # unless the command says another
    try:
        os.setsid()
        _redirect(folder)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["drcnet", *command[3:]]
        code = _run()
    finally:
        os._exit(code)


def _redirect(folder: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(folder / "stdout", flags), 1)
    os.dup2(os.open(folder / "stderr", flags), 2)


def _run() -> int:
    """Run the command line as the program does, and give its exit code."""
    import traceback

    from drcnet_cli.cli.app import main

    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:  # noqa: BLE001 - what Python itself would show
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code
