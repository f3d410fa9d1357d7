"""How fast this machine restores: the network alone, whole files, and the convolution ceiling.

The ceiling is what a plain 64-channel 3x3 convolution of the same number type reaches. It is taken
in turns with the network, so what else the machine does slows both alike, and the share of it can
be compared between machines where seconds cannot.
"""

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from drcnet_cli.device import dtype_name
from drcnet_cli.files.plan import plan_files
from drcnet_cli.imageio import Picture, is_image_name, write_picture
from drcnet_cli.restore.config import LoadedModel
from drcnet_cli.restore.outcome import WriteOptions
from drcnet_cli.restore.pipeline import restore_files
from drcnet_cli.restore.restorer import Restorer

SIDE = 256  # pixels: the size for which the paper counts
CEILING_CHANNELS = 64
FEWEST_TURNS = 3
PICTURES = range(4, 17)
PICTURE_MEGAPIXELS = (0.02, 12.0)


@dataclass(frozen=True)
class Speed:
    """The network on one batch: the median of `turns` runs.

    `ceiling_share` is the median over turns of its GFLOP/s divided by the convolution's.
    """

    batch: int
    side: int
    turns: int
    seconds: float
    megapixels_per_second: float
    gflops_per_second: float
    ceiling_gflops_per_second: float
    ceiling_share: float


@dataclass(frozen=True)
class FolderSpeed:
    """A folder of JPEGs restored as `drcnet restore` does, reading and writing included."""

    pictures: int
    megapixels: float
    seconds: float
    megapixels_per_second: float


@dataclass(frozen=True)
class SpeedReport:
    """All figures of one run; `peak_megabytes` is the device's, on a CPU the process's."""

    model: str
    device: str
    dtype: str
    threads: int
    torch: str
    network: tuple[Speed, ...]
    restore: FolderSpeed
    peak_megabytes: float | None


def measure_speed(
    model: LoadedModel,
    *,
    seconds: float = 5.0,
    notify: Callable[[str], None] = lambda _: None,
) -> SpeedReport:
    """Measure a model of `load_model`, about `seconds` for each of the three figures.

    `notify` gets what is measured next, and each change of plan of the restorer.
    """
    restorer = model.restorer(notify=notify)
    restorer.settle_dtype(_photograph(SIDE, SIDE))
    cuda = restorer.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(restorer.device)
    tile = restorer.rule.largest or SIDE
    shapes = dict.fromkeys([(1, SIDE), (restorer.batch_for(tile, tile), tile)])
    speeds = []
    for batch, side in shapes:
        notify(f"the network alone, {batch} x {side} x {side} pixels")
        speeds.append(network_speed(restorer, batch, side, seconds))
    notify("a folder of photographs")
    folder = folder_speed(restorer, speeds[-1].megapixels_per_second * seconds)
    return SpeedReport(
        model=restorer.info.name,
        device=torch.cuda.get_device_name(restorer.device) if cuda else str(restorer.device),
        dtype=dtype_name(restorer.dtype),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        network=tuple(speeds),
        restore=folder,
        peak_megabytes=_peak_megabytes(restorer.device),
    )


def network_speed(restorer: Restorer, batch: int, side: int, seconds: float) -> Speed:
    """Time the network and the ceiling in turns, at least three, for about `seconds`."""
    device, dtype = restorer.device, restorer.dtype
    x = torch.rand(batch, 3, side, side).to(device, memory_format=torch.channels_last)
    convolve, convolution_flops = _ceiling(device, dtype)
    flops = count_flops(restorer.network, restorer.info.config.multiple, side) * batch
    times, ceilings = [], []
    started = time.perf_counter()
    with torch.inference_mode():
        restorer.compute(x, dtype)  # the first of each run pays for preparations
        convolve()
        while len(times) < FEWEST_TURNS or time.perf_counter() - started < seconds:
            times.append(_timed(lambda: restorer.compute(x, dtype), device))
            ceilings.append(convolution_flops / _timed(convolve, device))
    median = statistics.median(times)
    shares = [flops / elapsed / ceiling for elapsed, ceiling in zip(times, ceilings, strict=True)]
    return Speed(
        batch=batch,
        side=side,
        turns=len(times),
        seconds=median,
        megapixels_per_second=batch * side**2 / median / 1e6,
        gflops_per_second=flops / median / 1e9,
        ceiling_gflops_per_second=statistics.median(ceilings) / 1e9,
        ceiling_share=statistics.median(shares),
    )


def count_flops(network: nn.Module, multiple: int, side: int) -> int:
    """Count the multiplications and additions for one square image, however they are computed.

    They grow with the number of pixels, so the smallest image that needs no padding (its sides are
    `multiple` pixels) tells.
    """
    weight = next(network.parameters())
    x = torch.zeros(1, 3, multiple, multiple, device=weight.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops() * side**2 // multiple**2


def folder_speed(restorer: Restorer, megapixels: float) -> FolderSpeed:
    """Restore a temporary folder of about that many megapixels, at least four small JPEGs."""
    smallest, largest = PICTURE_MEGAPIXELS
    each = min(max(megapixels / PICTURES[0], smallest), largest)
    count = min(max(round(megapixels / each), PICTURES[0]), PICTURES[-1])
    width = round((each * 1e6 * 4 / 3) ** 0.5)
    with tempfile.TemporaryDirectory(prefix="drcnet-benchmark-") as name:
        folder = Path(name) / "in"
        folder.mkdir()
        _write_photographs(folder, count, width * 3 // 4, width)
        plan = plan_files([folder], Path(name) / "out", is_image=is_image_name)
        started = time.perf_counter()
        outcomes = restore_files(plan.jobs, restorer, WriteOptions())
        elapsed = time.perf_counter() - started
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    total = sum(outcome.megapixels for outcome in outcomes)
    return FolderSpeed(len(outcomes), total, elapsed, total / elapsed)


def _ceiling(device: torch.device, dtype: torch.dtype) -> tuple[Callable[[], Tensor], int]:
    """Return the convolution that sets the ceiling, and its operations."""
    channels = CEILING_CHANNELS
    convolution = nn.Conv2d(channels, channels, 3, padding=1).to(device, dtype)
    convolution = convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(1, channels, SIDE, SIDE, dtype=dtype, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    return lambda: convolution(x), 2 * SIDE**2 * channels**2 * 9


def _timed(run: Callable[[], Tensor], device: torch.device) -> float:
    """Time one run in seconds; a CUDA device by its own clock."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize(device)
        return start.elapsed_time(end) / 1e3
    started = time.perf_counter()
    run()
    if device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - started


def _write_photographs(folder: Path, count: int, height: int, width: int) -> None:
    """Write equal JPEGs: encoding one is enough."""
    first = folder / "00.jpg"
    write_picture(Picture(_photograph(height, width)), first)
    for index in range(1, count):
        shutil.copy(first, folder / f"{index:02}.jpg")


def _photograph(height: int, width: int) -> np.ndarray:
    """Make smooth colours with noise, which is about as dear to decode as a photograph."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / (31 + 7 * k)) * np.cos(y / (23 + 5 * k)) for k in range(3)]
    noise = np.random.default_rng(0).normal(0, 10, (height, width, 3))
    return (128 + 80 * np.stack(waves, axis=2) + noise).clip(0, 255).astype(np.uint8)


def _peak_megabytes(device: torch.device) -> float | None:
    """Read the peak memory in MB, None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
