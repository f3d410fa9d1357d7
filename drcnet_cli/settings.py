"""What the surroundings decide: environment variables and the cache folder.

| variable          | meaning                                               | default          |
|-------------------|-------------------------------------------------------|------------------|
| `DRCNET_CACHE`    | folder for checkpoints, journal, compiled networks    | the user's cache |
| `DRCNET_HUB_REPO` | hub repository (`owner/name`) that serves checkpoints | none             |
| `DRCNET_DEBUG`    | `1`: show the traceback of an error                   | off              |

`HF_ENDPOINT` (mirror), `HF_TOKEN`, `HF_HUB_OFFLINE` and the proxy variables are read by
`huggingface_hub` itself and mean there what its documentation says. `OMP_NUM_THREADS` (or
`--threads`) is torch's number of threads; where it is not set, training by the clock may use fewer
than there are cores.
`WORLD_SIZE` and its companions are set by `torchrun` and `accelerate launch`. `RAY_ADDRESS` and
Ray's other variables mean what its documentation says; `RAY_USAGE_STATS_ENABLED` is always 0 here.
"""

import ctypes
import os
import sys
from pathlib import Path

_TRUE = {"1", "true", "yes", "on"}


def cache_dir() -> Path:
    """Return the folder for checkpoints and the journal of runs; it need not exist yet."""
    if explicit := os.environ.get("DRCNET_CACHE"):
        return Path(explicit).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "drcnet"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "drcnet" / "Cache"
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "drcnet"


def hub_repo() -> str | None:
    """Return the hub repository named by the environment, if any."""
    return os.environ.get("DRCNET_HUB_REPO") or None


def hub_offline() -> bool:
    """Tell whether the environment forbids the network (`HF_HUB_OFFLINE`)."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE


def share_processors() -> None:
    """Let idle threads of torch spin briefly, then sleep; an effect only before torch is loaded.

    They spin for long by default, which nearly halves the speed on a busy machine. Going to sleep
    at once costs a quarter of it on an idle one, as a network has hundreds of short steps
    (benchmarks/README.md, "Threads"). Who sets OMP_WAIT_POLICY decides.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def keep_memory() -> None:
    """Let the process keep memory that it frees, to use it again: glibc only, else nothing.

    A network frees and takes the same maps all the time. Handed back to the system each comes back
    as pages to be cleared, 6 % of the time of a small network. Pieces of 32 MiB and more, whole
    pictures, still go back at once.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    mallopt(mmap_threshold, 32 * 2**20)
    mallopt(trim_threshold, 512 * 2**20)


def keep_compiled() -> None:
    """Let later runs find what torch.compile makes; an effect only before it first compiles.

    Torch keeps it among the temporary files, which a restart of the machine removes. Who sets
    TORCHINDUCTOR_CACHE_DIR decides, and where our folder cannot be made torch does.
    """
    if "TORCHINDUCTOR_CACHE_DIR" in os.environ:
        return
    folder = cache_dir() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)


def use_threads(count: int) -> None:
    """Let torch and the processes started from here use so many threads; before torch is loaded."""
    os.environ["OMP_NUM_THREADS"] = str(count)


def prepare_gradio(folder: Path) -> None:
    """Let Gradio keep its files in a folder and tell nobody of its use; before it is loaded."""
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"


def threads_given() -> bool:
    """Tell whether the environment says how many threads torch shall use."""
    return "OMP_NUM_THREADS" in os.environ


def given_threads() -> int | None:
    """Return how many threads the environment wants torch to use; None: it does not say."""
    count = os.environ.get("OMP_NUM_THREADS", "")
    return int(count) if count.isdecimal() and int(count) else None


def prepare_ray() -> None:
    """Have Ray tell its makers nothing; the workers of a cluster of our own run as we do.

    They would give way to all other processes (a niceness of 15).
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # noqa: SIM112 - Ray's own spelling


def ray_address() -> str | None:
    """Return the address of the Ray cluster that the environment names, if any."""
    return os.environ.get("RAY_ADDRESS") or None


def launched_processes() -> int:
    """Return the number of processes that a launcher started together with this one."""
    size = os.environ.get("WORLD_SIZE", "1")
    return int(size) if size.isdecimal() else 1


def debug() -> bool:
    """Tell whether errors should show their traceback."""
    return os.environ.get("DRCNET_DEBUG", "").lower() in _TRUE
