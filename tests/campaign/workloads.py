"""Tiny jobs for `drcnet restore`, `train`, `weights pull` and `convert`.

Each knows its command, what it leaves, and how to tell that what it left is whole.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open

from drcnet_cli.errors import DrcnetError
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from drcnet_cli.networks.convert import read_released
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.networks.drcnet.released import _rename
from drcnet_cli.train.state import PREVIOUS_NAME, STATE_NAME, find_state, load_state
from tests import weights_helpers
from tests.campaign.processes import Process, start_forked, start_fresh
from tests.hub_server import COMMIT, REPO, HubServer
from tests.training_helpers import photographs, picture

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "drcnet_wf8_depth4_sf0-4.pth"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return a process's environment: this package, one thread, its own cache, no network."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("DRCNET_", "HF_"))}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "DRCNET_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
        **more,
    }


def tiny_network(path: Path) -> Path:
    """Write the checkpoint of a network that takes no time."""
    torch.manual_seed(0)
    net = DRCNet(DRCNetConfig(width=4, depth=2))
    save_checkpoint(path, net.state_dict(), CheckpointInfo(net.config, "tiny", training_patch=64))
    return path


def released_network(path: Path, width: int) -> Path:
    """Write random weights as the released code does, of any width."""
    torch.manual_seed(0)
    ours = DRCNet(DRCNetConfig(width=width, depth=4)).state_dict()
    state = {name: ours[_rename(name)] for name in read_released(GOLDEN)}
    torch.save({"params": state}, path)
    return path


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file below a folder, but for hidden ones."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    }


def temporaries(folder: Path) -> list[Path]:
    """Return the files that a process of ours, or a library under it, meant to be temporary."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and (path.suffix in (".tmp", ".incomplete") or ".tmp" in path.name)
    ]


class Workload:
    """One command's job: `place` is where a session of runs happens, `shared` its inputs."""

    name = ""
    sentences = 1  # at most, of a run that is refused
    forks = True  # may be forked off a process that has its imports behind it

    def __init__(self, shared: Path) -> None:
        self.shared = shared / self.name
        self.shared.mkdir(parents=True)
        self.expected: dict[str, str] = {}
        self.prepare()

    def close(self) -> None:
        """End what the job's inputs need to run."""

    def prepare(self) -> None:
        """Make the inputs."""
        raise NotImplementedError

    def command(self, place: Path, case: int) -> list[str]:
        """Return the command line."""
        raise NotImplementedError

    def environment(self, place: Path) -> dict[str, str]:
        """Return its environment."""
        return environment(place)

    def outputs(self, place: Path) -> Path:
        """Return the folder that the final names are in."""
        return place / "out"

    def started(self, place: Path) -> bool:
        """Tell whether a run has left a first trace."""
        return self.outputs(place).exists()

    def result(self, place: Path) -> dict[str, str]:
        """Return what must not depend on disturbances."""
        return digests(self.outputs(place))

    def broken(self, place: Path) -> list[str]:
        """Say which files under final names are not whole, at whatever moment."""
        return [
            name
            for name, digest in digests(self.outputs(place)).items()
            if self.expected.get(name) != digest
        ]

    def before(self, place: Path) -> object:
        """Note what a run finds done."""
        return None

    def repeated(self, place: Path, before: object, output: str) -> tuple[int, str]:
        """Return how much a run did again that need not be (unit of the job), and what is wrong."""
        raise NotImplementedError

    def ended(self, place: Path, code: int) -> bool:
        """Tell whether that code of a run that nobody killed is a good end."""
        return code == 0

    def start(self, place: Path, case: int, *, fresh: bool = True) -> Process:
        """Start the job in a session of its own; its output goes to files in `place`."""
        place.mkdir(parents=True, exist_ok=True)
        start = start_fresh if fresh else start_forked
        return start(self.command(place, case), self.environment(place), place)


class Restore(Workload):
    """15 small pictures of five formats in nested folders."""

    name = "restore"
    count = 15

    def prepare(self) -> None:
        self.weights = tiny_network(self.shared / "tiny.safetensors")
        endings = ("png", "jpg", "webp", "tif", "deep.png")
        for number in range(self.count):
            pixels = picture(number, 176 + number, 200)
            ending = endings[number % len(endings)]
            path = self.shared / "in" / f"{'abc'[number % 3]}" / f"{number:02}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if ending == "deep.png":
                Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(path)
            else:
                Image.fromarray(pixels).save(path)

    def command(self, place: Path, case: int) -> list[str]:
        call = [sys.executable, "-m", "drcnet_cli", "restore", "--json", "-w", str(self.weights)]
        return [*call, str(self.shared / "in"), str(place / "out")]

    def before(self, place: Path) -> dict[Path, int]:
        found = [path for path in self.outputs(place).rglob("*") if path.is_file()]
        return {
            path: path.stat().st_mtime_ns for path in found if path not in temporaries(path.parent)
        }

    def repeated(self, place: Path, before: object, output: str) -> tuple[int, str]:
        assert isinstance(before, dict)
        again = sum(path.stat().st_mtime_ns != time for path, time in before.items())
        status = [json.loads(line)["status"] for line in output.splitlines()]
        done = self.count - len(before)
        wrong = status.count("restored") != done or status.count("skipped") != len(before)
        return again, f"records {status} after {len(before)} of {self.count}" if wrong else ""


class Train(Workload):
    """24 steps of a network of width 4, saved every 4th, with and without a loading process."""

    name = "train"
    steps, save_every = 24, 4

    def prepare(self) -> None:
        self.clean = photographs(self.shared / "clean")

    def command(self, place: Path, case: int) -> list[str]:
        settings = {
            "task": "denoise", "degrade": "gaussian", "clean": self.clean, "width": 4, "depth": 2,
            "patches": "16x2:0.5,32x1:0.5", "steps": self.steps, "save-every": self.save_every,
            "validate-every": 8, "holdout": 0.25, "val-side": 32, "dtype": "float32",
            "device": "cpu", "workers": 2 * (case % 2), "log-every": 1, "cache-mb": 16,
            "out": place / "out",
        }  # fmt: skip
        given = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
        return [sys.executable, "-m", "drcnet_cli", "train", *given]

    def result(self, place: Path) -> dict[str, str]:
        """Return the weights' and the optimiser's digests; the minutes that it took may differ."""
        found = {}
        for name in ("final.safetensors", "best.safetensors", STATE_NAME):
            with safe_open(self.outputs(place) / name, framework="np") as file:
                for key in file.keys():  # noqa: SIM118 - not a dictionary
                    data = file.get_tensor(key).tobytes()
                    found[f"{name}/{key}"] = hashlib.sha256(data).hexdigest()
        lines = (self.outputs(place) / "log.jsonl").read_text().splitlines()
        logged = [json.loads(line) for line in lines]
        steps = [line["step"] for line in logged if line["event"] == "step"]
        found["steps logged"] = str(steps)
        found["losses"] = str([line["loss"] for line in logged if line["event"] == "step"])
        psnr = {line["step"]: line["psnr"] for line in logged if line["event"] == "validation"}
        found["validation"] = str(psnr)
        return found

    def broken(self, place: Path) -> list[str]:
        wrong = []
        for path in self.outputs(place).glob("*.safetensors"):
            try:
                if path.name in (STATE_NAME, PREVIOUS_NAME):
                    load_state(path)
                else:
                    load_checkpoint(path)
            except (DrcnetError, SafetensorError) as error:
                wrong.append(f"{path.name}: {error}")
        return wrong

    def _saved(self, place: Path) -> int:
        state = find_state(self.outputs(place)) if self.outputs(place).is_dir() else None
        return load_state(state).progress.step if state else 0

    def before(self, place: Path) -> tuple[int, int]:
        """Return the steps done, as logged, and the steps saved."""
        log, done = self.outputs(place) / "log.jsonl", 0
        for line in log.read_text().splitlines() if log.is_file() else ():
            if line.endswith("}"):
                done = max(done, json.loads(line)["step"])
        return done, self._saved(place)

    def repeated(self, place: Path, before: object, output: str) -> tuple[int, str]:
        assert isinstance(before, tuple)
        done, saved = before
        errors = (place / "stderr").read_text()
        begun = f"from step {saved} on" in errors if saved else "from step" not in errors
        # One more than between two saves: a step may be logged while its save is under way.
        wrong = not begun or done - saved > self.save_every
        return max(0, done - saved), f"{before}: {errors[:400]}" if wrong else ""


class Pull(Workload):
    """A download of 2 MB from a hub on this machine, which takes its time."""

    name = "pull"
    forks = False  # the hub's threads run in the campaign's process

    def prepare(self) -> None:
        self.data = weights_helpers.content("power", 2_000_000)
        self.hub = HubServer({"drcnet-s.safetensors": self.data}, pace=3e6)
        self.hub.__enter__()

    def close(self) -> None:
        self.hub.__exit__()

    def _shelf(self, place: Path) -> weights_helpers.Shelf:
        shelf = weights_helpers.Shelf(place)
        place.mkdir(parents=True, exist_ok=True)
        source = {"repo": REPO, "revision": COMMIT, "filename": "drcnet-s.safetensors"}
        shelf.write(weights_helpers.entry("drcnet-s", self.data, hub=source))
        return shelf

    def command(self, place: Path, case: int) -> list[str]:
        shelf = self._shelf(place)
        script = [sys.executable, "-c", weights_helpers._SCRIPT]
        return [*script, str(shelf.manifest_path), str(shelf.bundled), "pull", "drcnet-s"]

    def environment(self, place: Path) -> dict[str, str]:
        return environment(
            place,
            HF_HUB_OFFLINE="0",
            HF_ENDPOINT=self.hub.url,
            HF_HOME=str(place / "hf_home"),
            HF_HUB_DISABLE_XET="1",
            HF_HUB_DISABLE_TELEMETRY="1",
            HF_HUB_DISABLE_UPDATE_CHECK="1",
            NO_PROXY="127.0.0.1",
        )

    def outputs(self, place: Path) -> Path:
        return place / "cache"

    def result(self, place: Path) -> dict[str, str]:
        """Return what is in the cache; the lock of a download stays, empty."""
        return {n: d for n, d in digests(place / "cache").items() if not n.endswith(".lock")}

    def broken(self, place: Path) -> list[str]:
        """Look at final names alone: `hub/` holds what is under way."""
        found = digests(self.outputs(place))
        return [
            name for name in found if "/" not in name and self.expected.get(name) != found[name]
        ]

    def before(self, place: Path) -> tuple[bool, int]:
        there = any(path.suffix == ".safetensors" for path in self.outputs(place).glob("*"))
        return there, len(self.hub.requests("GET"))

    def repeated(self, place: Path, before: object, output: str) -> tuple[int, str]:
        assert isinstance(before, tuple)
        there, asked = before
        asked_now = len(self.hub.requests("GET")) - asked
        return asked_now if there else 0, "" if asked_now <= 1 else f"{asked_now} downloads in one"


class Convert(Workload):
    """A checkpoint of 10 MB in the released code's format."""

    name = "convert"

    def prepare(self) -> None:
        self.source = released_network(self.shared / "released.pth", 32)

    def command(self, place: Path, case: int) -> list[str]:
        target = place / "out" / "net.safetensors"
        return [sys.executable, "-m", "drcnet_cli", "convert", str(self.source), str(target)]

    def before(self, place: Path) -> bool:
        return (self.outputs(place) / "net.safetensors").exists()

    def repeated(self, place: Path, before: object, output: str) -> tuple[int, str]:
        said = "exists already" in (place / "stderr").read_text()
        return int(bool(before) and not said), ""

    def ended(self, place: Path, code: int) -> bool:
        # Killed after the rename and before its end: the next one refuses to do it again.
        return code == 0 or (code == 2 and "exists already" in (place / "stderr").read_text())


WORKLOADS = {kind.name: kind for kind in (Restore, Train, Pull, Convert)}
