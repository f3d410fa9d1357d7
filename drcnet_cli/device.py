"""Devices and number types: what was asked for, what there is, and how much memory is free."""

import os
import sys
from pathlib import Path

import torch

from drcnet_cli.errors import DeviceError

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_device(name: str = "auto") -> torch.device:
    """Return the device for auto, cpu, cuda, cuda:N or mps.

    auto: the first CUDA device, else Apple's mps, else the CPU. Raises DeviceError for a device
    that this machine or this build of torch lacks.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind == "cpu" and not index:
        return torch.device("cpu")
    if kind == "mps" and not index:
        if not torch.backends.mps.is_available():
            raise DeviceError("This machine has no mps device.", "Use --device cpu")
        return torch.device("mps")
    if kind == "cuda" and (not index or index.isdecimal()):
        return _cuda_device(int(index or 0))
    raise DeviceError(f"Unknown device {name!r}.", "Use --device auto, cpu, cuda, cuda:N or mps")


def choose_devices(name: str) -> list[str]:
    """Return the devices of `cuda:all` or of a list such as `cuda:0,cuda:2`; any other name alone.

    Raises DeviceError as `choose_device` does.
    """
    if name == "cuda:all":
        _cuda_device(0)
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    names = name.split(",")
    for each in names:
        choose_device(each)
    return names


def _cuda_device(index: int) -> torch.device:
    if not torch.cuda.is_available():
        reason = (
            "this torch is a CPU build, though an NVIDIA driver is there"
            if cpu_only_torch_beside_nvidia()
            else "torch finds no CUDA device"
        )
        raise DeviceError(
            f"cuda was asked for, but {reason}.", "Use --device cpu, or see `drcnet doctor`"
        )
    if index >= torch.cuda.device_count():
        raise DeviceError(
            f"There is no device cuda:{index}; torch finds {torch.cuda.device_count()}.",
            "Use --device cuda:0",
        )
    return torch.device("cuda", index)


def cpu_only_torch_beside_nvidia() -> bool:
    """Tell whether a GPU lies idle because this torch was built for the CPU alone."""
    if torch.version.cuda or getattr(torch.version, "hip", None):
        return False
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32/nvcuda.dll").exists()
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()


def has_fast_bfloat16(device: torch.device) -> bool:
    """Tell whether the hardware itself computes in bfloat16 (emulation is slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(_cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})
    return False


def _cpu_flags() -> set[str]:
    """Read the processor's feature flags where the system tells them (Linux)."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return set()
    for line in cpuinfo.read_text(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the computing type for auto, float32, bfloat16 or float16 on this device.

    auto: bfloat16 where the hardware has it, else float32. Raises DeviceError for an unknown name,
    and for float16 on the CPU, where it is slower than float32 and gains nothing.
    """
    if name == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if name not in DTYPES:
        raise DeviceError(
            f"Unknown number type {name!r}.", f"Use --dtype auto, {', '.join(DTYPES)}"
        )
    if name == "float16" and device.type == "cpu":
        raise DeviceError("float16 is not for the CPU.", "Use --dtype auto")
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """Return torch.float32's name as the options spell it: float32."""
    return str(dtype).removeprefix("torch.")


def free_memory(device: torch.device) -> int:
    """Estimate the bytes that a computation on this device may still take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + cached
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return _free_host_memory()


def _free_host_memory() -> int:
    """Read what the host, or the container this runs in, has left; assume 2 GiB if untold."""
    candidates = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                candidates.append(int(line.split()[1]) * 1024)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (text := limit.read_text().strip()).isdecimal():
        candidates.append(max(0, int(text) - int(used.read_text())))
    return min(candidates, default=2 * 1024**3)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell a failed allocation, on the device or the host, from every other error."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    # The CPU and mps allocators raise a plain RuntimeError: its text is all that tells it apart.
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "DefaultCPUAllocator" in text or "not enough memory" in text
    )


def release_memory(device: torch.device) -> None:
    """Hand cached blocks back before a smaller try."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
