"""Much at once: ten thousand pictures, one of 400 megapixels, two runs into one folder.

    python -m tests.campaign.load many --count 10000
    python -m tests.campaign.load huge --side 20000
    python -m tests.campaign.load together --count 300

The command runs as a process with a small random network: what is measured is everything around
the network, whose own memory does not depend on the picture. Memory, threads and open files are
read from /proc all the while. Files lie in memory (/dev/shm) where there is room.
"""

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tests.campaign.image_corpus import make
from tests.campaign.images import tiny_weights

EVERY = 0.25  # seconds between two looks at the process
FOLDERS = 100


class Look(NamedTuple):
    """One look at a process: bytes of memory, open files, threads, and outputs so far."""

    seconds: float
    resident: int
    files: int
    threads: int
    outputs: int


def watch(process: subprocess.Popen, count: Callable[[], int]) -> list[Look]:
    """Look at a process until it ends."""
    looks, started = [], time.perf_counter()
    here = Path(f"/proc/{process.pid}")
    while process.poll() is None:
        try:
            status = (here / "status").read_text()
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            looks.append(
                Look(
                    time.perf_counter() - started,
                    int(fields["VmRSS"].split()[0]) * 1024,
                    len(list((here / "fd").iterdir())),
                    int(fields["Threads"]),
                    count(),
                )
            )
        except (OSError, KeyError):  # it ends just now
            pass
        time.sleep(EVERY)
    return looks


def start(folder: Path, *arguments: str, output: Path) -> subprocess.Popen:
    weights = tiny_weights(folder)
    call = [sys.executable, "-m", "drcnet_cli", "restore", "-w", str(weights), *arguments]
    return subprocess.Popen(call, stdout=output.open("wb"), stderr=subprocess.STDOUT)


def many(options: argparse.Namespace, top: Path) -> list[str]:
    """Restore many small pictures in nested folders: flat memory, files and speed."""
    rng = np.random.default_rng(0)
    for number in range(options.count):
        folder = top / "in" / f"{number % FOLDERS // 10}" / f"{number % 10}" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (32, 32, 3), np.uint8)
        suffix = ("png", "jpg", "tif", "webp")[number % 4]
        Image.fromarray(noise).save(folder / f"{number}.{suffix}")
    log = top / "log.txt"
    process = start(top, "--json", "-q", str(top / "in"), str(top / "out"), output=log)
    looks = watch(process, lambda: log.read_bytes().count(b"\n"))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    outputs = sum(path.is_file() for path in (top / "out").rglob("*"))
    restored = sum(record["status"] == "restored" for record in records)
    problems = [] if process.returncode == 0 else [f"exit code {process.returncode}"]
    if not restored == outputs == options.count:
        problems.append(f"{options.count} inputs, {restored} restored, {outputs} outputs")
    return problems + _check_flat(looks, options.count)


def _check_flat(looks: list[Look], count: int) -> list[str]:
    """Compare the second tenth of the run with its last; the first holds the loading."""
    busy = [look for look in looks if 0 < look.outputs < count]
    early = [look for look in busy if 0.1 <= look.outputs / count < 0.2]
    late = [look for look in busy if look.outputs / count >= 0.9]
    if len(early) < 2 or len(late) < 2:
        return ["too few looks: give more pictures"]
    figures = {}
    for name, part in (("early", early), ("late", late)):
        done, seconds = part[-1].outputs - part[0].outputs, part[-1].seconds - part[0].seconds
        figures[name] = (max(x.resident for x in part), max(x.files for x in part), done / seconds)
        print(  # noqa: T201
            f"{name}: {figures[name][0] / 2**20:.0f} MiB, {figures[name][1]} open files, "
            f"{max(x.threads for x in part)} threads, {figures[name][2]:.1f} pictures/s"
        )
    print(f"peak {max(look.resident for look in looks) / 2**20:.0f} MiB, {looks[-1].seconds:.0f} s")  # noqa: T201
    (memory, files, speed), (memory2, files2, speed2) = figures["early"], figures["late"]
    problems = []
    if memory2 > memory + 32 * 2**20:
        problems.append("memory grows")
    if files2 > files + 4:
        problems.append("open files grow")
    if speed2 < 0.7 * speed:
        problems.append("it becomes slower")
    return problems


def huge(options: argparse.Namespace, top: Path) -> list[str]:
    """Restore one picture of side x side: memory is that of its pixels, and the output whole."""
    side, source, target = options.side, top / "huge.png", top / "restored.png"
    _write_huge_png(source, side)
    log = top / "log.txt"
    process = start(top, "--tile", "256", str(source), str(target), output=log)
    looks = watch(process, lambda: 0)
    pixels = side * side * 3
    peak = max(look.resident for look in looks)
    before = min(look.resident for look in looks[: max(1, len(looks) // 20)])
    print(  # noqa: T201
        f"{side * side / 1e6:.0f} MP, {source.stat().st_size / 2**20:.0f} MiB as a file, "
        f"{pixels / 2**20:.0f} MiB of pixels: peak {peak / 2**20:.0f} MiB "
        f"({peak / pixels:.2f} times the pixels; {before / 2**20:.0f} MiB at first), "
        f"{max(look.files for look in looks)} open files, {looks[-1].seconds:.0f} s"
    )
    if process.returncode:
        return [f"exit code {process.returncode}: {log.read_text()[-500:]}"]
    return _check_huge_png(target, side)


def _write_huge_png(path: Path, side: int) -> None:
    """Write slanting stripes a row at a time."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(1)
    wave = (np.arange(2 * side) // 7 % 256).astype(np.uint8)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + make.png_chunk(b"IHDR", head))
        for y in range(side):
            start = y // 3 % side
            row = np.repeat(wave[start : start + side], 3).tobytes()
            if packed := packer.compress(b"\0" + row):
                file.write(make.png_chunk(b"IDAT", packed))
        file.write(make.png_chunk(b"IDAT", packer.flush()) + make.png_chunk(b"IEND", b""))


def _check_huge_png(path: Path, side: int) -> list[str]:
    """Unpack the output a piece at a time: every row must be there."""
    unpacker, length, size = zlib.decompressobj(), 0, None
    with path.open("rb") as file:
        file.seek(8)
        while head := file.read(8):
            count, kind = struct.unpack(">I4s", head)
            body = file.read(count)
            if zlib.crc32(kind + body) != struct.unpack(">I", file.read(4))[0]:
                return [f"a wrong checksum in {kind}"]
            if kind == b"IHDR":
                size = struct.unpack_from(">II", body)
            elif kind == b"IDAT":
                length += len(unpacker.decompress(body))
    whole = side * (3 * side + 1)
    return [] if (size, length) == ((side, side), whole) else [f"{size}, {length} bytes of {whole}"]


def together(options: argparse.Namespace, top: Path) -> list[str]:
    """Run twice at once into one folder: every output whole, nothing left behind."""
    for number in range(options.count):
        path = top / "in" / f"{number % 7}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make.random_array(3, size=(90, 70), seed=number)).save(path)
    problems = []
    for overwrite in ([], ["--overwrite"]):
        call = [*overwrite, str(top / "in"), str(top / "out")]
        runs = [start(top, *call, output=top / f"log{n}.txt") for n in range(2)]
        torn = 0
        while any(run.poll() is None for run in runs):
            torn += _torn(top / "out")
            time.sleep(0.05)
        problems += [f"exit code {run.returncode}" for run in runs if run.returncode]
        if torn := torn + _torn(top / "out"):
            problems.append(f"{torn} torn outputs seen")
        files = [path for path in (top / "out").rglob("*") if path.is_file()]
        if len(files) != options.count:
            problems.append(f"{options.count} inputs, {len(files)} outputs")
        logs = [(top / f"log{n}.txt").read_text() for n in range(2)]
        problems += [f"a traceback: {log[-500:]}" for log in logs if "Traceback" in log]
        print(*(log.splitlines()[-1] for log in logs), sep=" / ")  # noqa: T201
    return problems


def _torn(folder: Path) -> int:
    """Count outputs under their final names that do not decode; some looked at, not all."""
    torn = 0
    for path in sorted(folder.rglob("*.png"))[::11]:
        try:
            with Image.open(path) as image:
                image.load()
                torn += image.size != (90, 70)
        except FileNotFoundError:  # replaced just now
            continue
        except (OSError, SyntaxError, ValueError):
            torn += 1
    return torn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=("many", "huge", "together"))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="work here, and leave everything there")
    options = parser.parse_args()
    room = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    top = options.folder or Path(tempfile.mkdtemp(prefix="load-", dir=room))
    top.mkdir(parents=True, exist_ok=True)
    try:
        problems = {"many": many, "huge": huge, "together": together}[options.what](options, top)
    finally:
        if options.folder is None:
            shutil.rmtree(top)
    for problem in problems:
        print(problem)  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
