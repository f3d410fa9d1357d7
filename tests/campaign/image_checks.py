"""What must hold for a folder of damaged pictures, read, restored and written.

Every check gives sentences, none if all is well.
"""

import ctypes
import hashlib
import json
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from drcnet_cli.errors import DrcnetError
from drcnet_cli.files.plan import plan_files
from drcnet_cli.imageio import Picture, is_image_name, read_first
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.restore.outcome import WriteOptions
from drcnet_cli.restore.pipeline import restore_files
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import TileOptions

SLOW = 10.0  # seconds of a processor that reading one file may take
_FILL = -6  # M_PERTURB of malloc.h: what freed and fresh memory is filled with
_LOSSLESS = {".png", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".bmp", ".dib", ".tga"}


class Told(NamedTuple):
    """What became of one file: its output, or what was said of it."""

    source: Path
    destination: Path
    error: str | None
    reduced: bool  # the output's format cannot hold the input's depth


def identity_restorer() -> Restorer:
    """Return a restorer that changes nothing, tile by tile."""
    info = CheckpointInfo(DRCNetConfig(width=2, depth=1), training_patch=64)
    return Restorer(nn.Identity(), info, device=torch.device("cpu"), tiling=TileOptions(batch=4))


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file by its place."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def read_twice(path: Path, counts: Counter[str]) -> tuple[Picture | None, list[str]]:
    """Read a file, fresh memory filled with different bytes each time: the same must come out."""
    first, problems = _read(path, counts, fill=0x55)
    if first is None:
        return None, problems
    second, more = _read(path, Counter(), fill=0xA3)
    if second is None:
        return first, [*problems, *more, "read once, refused once"]
    same = np.array_equal(first.pixels, second.pixels, equal_nan=True)
    if first.alpha is not None and second.alpha is not None:
        same &= np.array_equal(first.alpha, second.alpha, equal_nan=True)
    if not same:
        problems.append("pixels depend on what memory held before")
    if first.metadata != second.metadata:
        problems.append("metadata depend on what memory held before")
    if first.pixels.dtype == np.float32 and not _in_range(first.pixels):
        problems.append("floating-point pixels outside 0..1")
    return first, problems


def _read(path: Path, counts: Counter[str], fill: int) -> tuple[Picture | None, list[str]]:
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    started = time.process_time()
    mallopt(_FILL, fill)
    try:
        picture, problems = read_first(path), []
        counts["read"] += 1
    except DrcnetError as error:
        picture, problems = None, _sentence(error, path)
        counts["refused"] += 1
    except Exception as error:  # noqa: BLE001 - whatever else rises is what is looked for
        picture, problems = None, [f"{type(error).__name__} from read_first: {error!r}"]
        counts["raised"] += 1
    finally:
        mallopt(_FILL, 0)
    if (seconds := time.process_time() - started) > SLOW:
        problems.append(f"reading took {seconds:.0f} s")
    return picture, problems


def _sentence(error: DrcnetError, path: Path) -> list[str]:
    problems = []
    if str(path) not in error.message:
        problems.append(f"the error does not name the file: {error.message!r}")
    if "\n" in error.message or not error.message.endswith("."):
        problems.append(f"the error is no sentence: {error.message!r}")
    return problems


def restore_here(source: Path, target: Path, restorer: Restorer) -> list[Told]:
    """Restore a folder as the command does, in this process."""
    plan = plan_files([source], target, is_image=is_image_name)
    outcomes = restore_files(plan.jobs, restorer, WriteOptions())
    return [
        Told(
            outcome.job.source,
            outcome.job.destination,
            outcome.error.message if outcome.error else None,
            any("reduced to" in note for note in outcome.notes),
        )
        for outcome in outcomes
    ]


def restore_in_process(
    source: Path, target: Path, options: Sequence[str]
) -> tuple[list[Told], list[str]]:
    """Restore a folder by `drcnet restore --json`; give its records, and what was wrong."""
    call = [sys.executable, "-m", "drcnet_cli", "restore", *options, "--json"]
    run = subprocess.run(
        [*call, str(source), str(target)], capture_output=True, text=True, timeout=800, check=False
    )
    try:
        records = [json.loads(line) for line in run.stdout.splitlines()]
    except ValueError:
        return [], [f"standard output is no JSON: {run.stdout[-300:]!r}"]
    told = [
        Told(
            Path(record["input"]),
            Path(record["output"]),
            record["error"],
            any("reduced to" in note for note in record["notes"]),
        )
        for record in records
    ]
    problems = []
    failed = [item for item in told if item.error]
    if run.returncode != (1 if failed else 0):
        problems.append(f"exit code {run.returncode}, {len(failed)} failed: {run.stderr[-500:]!r}")
    if "Traceback" in run.stderr:
        problems.append(f"a traceback: {run.stderr[-800:]!r}")
    unnamed = [item for item in failed if f"Failed: {item.error}" not in run.stderr]
    problems += [f"failed without a word: {item.source}" for item in unnamed]
    return told, problems


def check_outputs(
    told: Iterable[Told], pictures: dict[Path, Picture | None], identity: bool
) -> list[tuple[Path, str]]:
    """Check each file's outcome against what reading it gave; `identity`: nothing may change."""
    return [
        (item.source, problem)
        for item in told
        for problem in _check_output(item, pictures[item.source], identity)
    ]


def _check_output(told: Told, picture: Picture | None, identity: bool) -> list[str]:
    if told.error:
        named = told.source.name in told.error or told.destination.name in told.error
        problems = [] if named else [f"the failure does not name the file: {told.error!r}"]
        return [*problems, "an output beside a failure"] if told.destination.exists() else problems
    if picture is None:
        return ["restored although it could not be read"]
    if not told.destination.exists():
        return ["neither output nor failure"]
    size = other_size(told.destination)
    if size != (picture.width, picture.height):
        return [f"the output is {size}, the input {picture.width} x {picture.height}"]
    again = read_first(told.destination)
    if again.pixels.dtype == np.float32 and not _in_range(again.pixels):
        return ["the output is not finite and within 0..1"]
    exact = identity and not told.reduced and told.destination.suffix.lower() in _LOSSLESS
    if exact and not _equal(again, picture):
        return ["an identity changed the pixels"]
    return []


def _in_range(pixels: np.ndarray) -> bool:
    return bool(np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1)


def _equal(output: Picture, picture: Picture) -> bool:
    pixels = picture.pixels
    if output.pixels.shape[2] == 3 and pixels.shape[2] == 1:  # formats without gray
        pixels = np.repeat(pixels, 3, axis=2)
    if output.pixels.dtype != pixels.dtype or output.pixels.shape != pixels.shape:
        return False
    if pixels.dtype == np.float32:
        return bool(np.allclose(output.pixels, pixels, atol=1e-6))
    return bool(np.array_equal(output.pixels, pixels))


def other_size(path: Path) -> tuple[int, int] | str:
    """Return width and height as other programs decode them whole, or what they say against it."""
    data = path.read_bytes()
    if path.suffix.lower() in {".png", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"}:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return "unreadable by OpenCV" if decoded is None else (decoded.shape[1], decoded.shape[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                image.load()
                return image.size
        except (OSError, ValueError, SyntaxError) as error:
            return f"unreadable by Pillow: {error!r}"
