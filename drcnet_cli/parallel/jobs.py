"""How many processes share a CPU: as told, or as many as pay."""

from dataclasses import replace

from drcnet_cli.device import choose_device, free_memory, usable_cores
from drcnet_cli.engines import TORCH
from drcnet_cli.errors import UsageError
from drcnet_cli.restore.config import RestoreConfig

AUTO = "auto"

# Of a process with a bundled checkpoint, twice what was measured (`benchmarks/jobs.py`,
# docs/scale.md).
MEMORY_OF_PROCESS = 2**30  # bytes
# Of a megapixel, measured alike: fewer do not make up for the seconds that processes take to start.
PICTURES_OF_PROCESS = 8


def with_processes(config: RestoreConfig, jobs: str, pictures: int) -> RestoreConfig:
    """Return a configuration whose device is named once for each of `jobs` processes.

    `auto`: one for each core where that pays, and one in all on anything but torch on a CPU. Raises
    UsageError for what is no number, and for several processes where one device has to do.
    """
    if jobs == AUTO and not _on_cpu(config):
        return config
    count = count_processes(jobs, pictures)
    if count > 1 and not _on_cpu(config):
        raise UsageError(
            f"--jobs is for one CPU and torch, not for {config.device} and {config.backend}.",
            "Add --device cpu, or leave out --jobs",
        )
    return _times(config, count)


def count_processes(jobs: str, pictures: int) -> int:
    """Return how many processes shall share a CPU's cores: so many, or with `auto` what pays.

    Raises UsageError for what is no number.
    """
    if jobs != AUTO:
        if not jobs.isdecimal() or not int(jobs):
            raise UsageError(f"--jobs cannot be {jobs!r}.", "Use --jobs auto or a number")
        return int(jobs)
    fits = int(0.7 * free_memory(choose_device("cpu"))) // MEMORY_OF_PROCESS
    return max(1, min(usable_cores(), fits, pictures // PICTURES_OF_PROCESS))


def _times(config: RestoreConfig, count: int) -> RestoreConfig:
    return config if count == 1 else replace(config, device=",".join(["cpu"] * count))


def _on_cpu(config: RestoreConfig) -> bool:
    alone = "," not in config.device and config.device != "cuda:all"
    return alone and config.backend == TORCH and choose_device(config.device).type == "cpu"
