"""Thousands of hostile and damaged weight files against everything that reads them.

A case is its number: `--only 1234` replays one. Cases run in forks of this process, a few hundred
each, under limits of time and memory, so that a crash, a hang or a greedy reader is a finding and
not the campaign's end. Held to: no code of a file runs; a refusal is a DrcnetError of one printable
line with an exit code of 2 or 3; what is accepted can be used, and gives finite pixels.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from drcnet_cli import settings
from drcnet_cli.errors import DrcnetError, ImageError
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from drcnet_cli.networks.convert import convert_file
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.train.state import State, TrainingProgress, check_state, load_state, save_state
from drcnet_cli.train.vgg import load_vgg
from drcnet_cli.weights.manifest import load_manifest
from drcnet_cli.weights.store import BUNDLED_DIR, bundled_path, cached_path
from tests.campaign import hostile_files as hostile

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "drcnet_wf8_depth4_sf2-3.pth"
_CHUNK = 200  # cases a fork
_SECONDS = 30  # a case
_MEMORY = 4 << 30  # bytes a fork may map beyond what it starts with
_LONGEST_MESSAGE = 900


@dataclass(frozen=True)
class Goods:
    """Whole files to start from."""

    checkpoint: bytes
    state: bytes
    zipped: bytes
    legacy: bytes
    vgg: bytes
    vgg_zipped: bytes
    manifest: bytes


def make_goods(folder: Path) -> Goods:
    """Make one small whole file of each kind."""
    torch.manual_seed(0)
    network = DRCNet(DRCNetConfig(width=2, depth=2))
    info = CheckpointInfo(network.config, "tiny", "denoise", 64, {"licence": "CC0"})
    save_checkpoint(folder / "c", network.state_dict(), info)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    average = {name: value.clone() for name, value in network.state_dict().items()}
    parts = {"network": network.state_dict(), "average": average}
    config = {"network": network.config.to_dict(), "lr": 1e-3, "betas": [0.9, 0.99]}
    save_state(
        folder, State(TrainingProgress(1, 2, 3.0), config, parts, optimizer.state_dict(), {})
    )
    released = torch.load(GOLDEN, weights_only=True)
    torch.save(released, folder / "legacy", _use_new_zipfile_serialization=False)
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128)}
    vgg = {f"features.{n}.weight": torch.randn(*s, 3, 3) / 30 for n, s in shapes.items()}
    vgg |= {f"features.{n}.bias": torch.zeros(s[0]) for n, s in shapes.items()}
    save_file(vgg, folder / "v", metadata={"made": "{}"})
    torch.save(vgg, folder / "vz")
    names = ("c", "state.safetensors", GOLDEN, "legacy", "v", "vz", ROOT / "weights.json")
    return Goods(*((folder / name).read_bytes() for name in names))


def read_checkpoint(path: Path) -> str:
    """Load, and restore a small picture with what was accepted."""
    network, info = load_checkpoint(path)
    pixels = np.random.default_rng(0).random((20, 24, 3), dtype=np.float32)
    try:
        restored = Restorer(network, info, device=torch.device("cpu")).restore(pixels)
    except ImageError:  # the network gives no finite numbers: said so, nothing written
        return "refused"
    good = restored.shape == pixels.shape and bool(np.isfinite(restored).all())
    return "accepted" if good and restored.min() >= 0 and restored.max() <= 1 else "BAD PIXELS"


def read_state(path: Path) -> str:
    """Load a training state as `drcnet train --resume` does."""
    check_state(load_state(path), "adam")
    return "accepted"


def read_released(path: Path) -> str:
    """Convert, and load the result."""
    out = path.with_name("out.safetensors")
    out.unlink(missing_ok=True)
    try:
        convert_file(path, out)
    except DrcnetError:
        return "LEFT A FILE" if out.exists() else _raise()
    load_checkpoint(out)
    return "accepted"


def _raise() -> str:
    raise  # noqa: PLE0704 - the error that is being handled


def read_vgg(path: Path) -> str:
    """Load a VGG file as `drcnet train --vgg` does."""
    load_vgg(path)
    return "accepted"


def read_manifest(path: Path) -> str:
    """Load a manifest; its file names must stay in their folders."""
    for item in load_manifest(path).checkpoints:
        for place, folder in (
            (cached_path(item), settings.cache_dir()),
            (bundled_path(item), BUNDLED_DIR),
        ):
            if place.resolve().parent != folder.resolve():
                return "LEAVES ITS FOLDER"
            if len(os.fsencode(place.name)) > 255:
                return "IMPOSSIBLE NAME"
    return "accepted"


Case = tuple[str, str, bytes, Callable[[Path], str]]  # kind, file name, content, reader


def make_case(number: int, seed: int, goods: Goods, folder: Path) -> Case:
    """Make case `number`: the same for the same seed."""
    rng = random.Random(f"{seed}/{number}")
    wholes = {
        "checkpoint": ("w.safetensors", goods.checkpoint, read_checkpoint),
        "state": ("state.safetensors", goods.state, read_state),
        "zip .pth": ("w.pth", goods.zipped, read_released),
        "legacy .pth": ("w.pth", goods.legacy, read_released),
        "vgg safetensors": ("v.safetensors", goods.vgg, read_vgg),
        "vgg .pth": ("v.pth", goods.vgg_zipped, read_vgg),
    }
    if number < 600:  # each kind cut off at every 1 %
        kind = list(wholes)[number // 100]
        name, good, reader = wholes[kind]
        return f"{kind}, cut at 1 %", name, good[: len(good) * (number % 100) // 100], reader
    if number < 600 + 4 * 6 * 6 * len(hostile.FORMATS):
        return _code_case(number - 600, folder, rng)
    kind = rng.choice([*wholes, *wholes, "checkpoint", "state", "manifest", "numbers"])
    if kind == "manifest":
        text = hostile.odd_json(json.loads(goods.manifest), rng)
        return kind, "weights.json", text.encode("utf-8", "surrogatepass"), read_manifest
    if kind == "numbers":
        return _numbers_case(rng, goods, folder)
    name, good, reader = wholes[kind]
    if rng.random() < 0.5:
        return f"{kind}, damaged", name, hostile.damaged(good, rng), reader
    change = (
        hostile.odd_safetensors
        if name.endswith(".safetensors")
        else hostile.change_legacy
        if kind == "legacy .pth"
        else hostile.change_zip
    )
    return f"{kind}, changed", name, change(good, rng), reader


def _code_case(index: int, folder: Path, rng: random.Random) -> Case:
    index, layout = divmod(index, len(hostile.FORMATS))
    index, protocol = divmod(index, 6)
    payload, nesting = divmod(index, 6)
    program = hostile.with_code(
        folder / hostile.CANARY,
        list(hostile.PAYLOADS)[payload],
        protocol,
        hostile.NESTINGS[nesting],
    )
    readers = {"w.pth": read_released, "w.safetensors": read_checkpoint, "v.pth": read_vgg,
               "v.safetensors": read_vgg, "state.safetensors": read_state}  # fmt: skip
    name = rng.choice(["w.pth", "v.pth", *readers])
    data = hostile.wrapped(program, hostile.FORMATS[layout])
    return f"code, {hostile.FORMATS[layout]}", name, data, readers[name]


def _numbers_case(rng: random.Random, goods: Goods, folder: Path) -> Case:
    """Plant numbers that are none, or another type, in a file that is whole otherwise."""
    path = folder / "numbers.safetensors"
    path.write_bytes(goods.state)
    state = rng.random() < 0.5
    if state:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
    else:
        path.write_bytes(goods.checkpoint)
        metadata = {"drcnet": load_checkpoint(path)[1].to_json()}
    tensors = load_file(path)
    name = rng.choice(list(tensors))
    value = tensors[name].clone()
    odd = rng.choice([float("nan"), float("inf"), float("-inf"), 3e38, 65504.0])
    flat = value.flatten()
    if rng.random() < 0.7:
        flat[rng.randrange(flat.numel())] = odd
        tensors[name] = flat.view(value.shape)
    elif rng.random() < 0.5:
        kinds = [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.uint8]
        tensors[name] = value.to(rng.choice(kinds))
    else:
        tensors[name] = rng.choice(
            [torch.zeros(0), torch.zeros(3, 0), value.flatten(), value[None]]
        )
    save_file(tensors, path, metadata=metadata)
    data = path.read_bytes()
    if state:
        return "numbers, state", "state.safetensors", data, read_state
    return "numbers, checkpoint", "w.safetensors", data, read_checkpoint


def outcome(case: Case, folder: Path) -> str:
    """Run one case: `accepted`, `refused`, or in capitals what is wrong."""
    _, name, data, reader = case
    path = folder / name
    path.write_bytes(data)
    signal.alarm(_SECONDS)
    try:
        result = reader(path)
    except DrcnetError as error:
        result = _judge(error)
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        result = f"TRACEBACK {type(error).__name__}: {error}"[:200]
    signal.alarm(0)
    if (folder / hostile.CANARY).exists():
        result = "EXECUTED"
        (folder / hostile.CANARY).rmdir()
    path.unlink()
    return result


def _judge(error: DrcnetError) -> str:
    if error.exit_code not in (2, 3):
        return f"EXIT CODE {error.exit_code}"
    if not error.message.isprintable() or not error.message.rstrip().endswith("."):
        return f"NOT ONE SENTENCE {error.message[:150]!r}"
    return "refused" if len(error.message) < _LONGEST_MESSAGE else "TOO LONG A MESSAGE"


def run_chunk(
    numbers: list[int], seed: int, goods: Goods, folder: Path
) -> dict[int, tuple[str, str]]:
    """Run cases in a fork; one that ends the fork is named by how it ended."""
    done: dict[int, tuple[str, str]] = {}
    while len(done) < len(numbers):
        left = [number for number in numbers if number not in done]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (mapped + _MEMORY, mapped + _MEMORY))
            with os.fdopen(writing, "w", encoding="utf-8", errors="replace") as report:
                for number in left:
                    case = make_case(number, seed, goods, folder)
                    report.write(f"{number}\t{case[0]}\t")
                    report.flush()
                    report.write(" ".join(outcome(case, folder).split()) + "\n")
                    report.flush()
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as report:
            lines = report.read().splitlines()
        _, status, usage = os.wait4(child, 0)
        global _peak
        _peak = max(_peak, usage.ru_maxrss)
        for line in lines:
            number, kind, result = line.split("\t")
            ended = "HUNG" if os.WTERMSIG(status) == signal.SIGALRM else f"CRASH {status}"
            done[int(number)] = (kind, result or ended)
        if not lines:
            raise RuntimeError(f"a fork ended with {status} before its first case")
    return done


_peak = 0  # KiB


def main() -> int:
    """Run the campaign and print what came of each kind of case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="replay these cases")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="drcnet-hostile-"))
    goods, started = make_goods(folder), time.monotonic()
    numbers = arguments.only if arguments.only is not None else list(range(arguments.count))
    table: dict[str, Counter[str]] = {}
    broken: list[str] = []
    for start in range(0, len(numbers), _CHUNK):
        results = run_chunk(numbers[start : start + _CHUNK], arguments.seed, goods, folder)
        for number, (kind, result) in results.items():
            word = result if result in ("accepted", "refused") else "broken"
            table.setdefault(kind, Counter())[word] += 1
            if word == "broken":
                broken.append(f"case {number} ({kind}): {result}")
                sys.stderr.write(broken[-1] + "\n")
        sys.stderr.write(f"{min(start + _CHUNK, len(numbers))} of {len(numbers)}\n")
    shutil.rmtree(folder)
    rows = [f"{'kind':32}{'refused':>9}{'accepted':>9}{'broken':>9}"]
    total: Counter[str] = Counter()
    for kind, counts in sorted(table.items()):
        total += counts
        rows.append(
            f"{kind:32}" + "".join(f"{counts[w]:9}" for w in ("refused", "accepted", "broken"))
        )
    rows.append(f"{'all':32}" + "".join(f"{total[w]:9}" for w in ("refused", "accepted", "broken")))
    rows.append(f"{time.monotonic() - started:.0f} s, peak {_peak / 1024:.0f} MiB resident")
    sys.stdout.write("\n".join(rows) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
