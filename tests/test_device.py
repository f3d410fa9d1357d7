"""Devices and number types that were asked for, on a machine without a GPU."""

import pytest
import torch

from drcnet_cli import device
from drcnet_cli.errors import DeviceError

CPU = torch.device("cpu")
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def test_auto_is_a_device_that_works():
    assert torch.zeros(2, device=device.choose_device("auto")).sum() == 0


@no_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_missing_cuda_is_refused_with_what_to_do(name):
    with pytest.raises(DeviceError, match="--device cpu"):
        device.choose_device(name)


@pytest.mark.parametrize("name", ["tpu", "cpu:1", "cuda:x", "cuda:-1", ""])
def test_unknown_devices_are_refused(name):
    with pytest.raises(DeviceError):
        device.choose_device(name)


@no_cuda
def test_a_cpu_build_beside_a_driver_is_told_apart(monkeypatch):
    monkeypatch.setattr(device, "cpu_only_torch_beside_nvidia", lambda: True)
    with pytest.raises(DeviceError, match="CPU build"):
        device.choose_device("cuda")


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("fma avx512f avx512_bf16", torch.bfloat16),
        ("fma avx512f", torch.float32),
        ("", torch.float32),
    ],
)
def test_auto_dtype_follows_the_processor(flags, dtype, monkeypatch):
    monkeypatch.setattr(device, "_cpu_flags", lambda: set(flags.split()))
    assert device.choose_dtype("auto", CPU) == dtype


def test_explicit_dtypes():
    assert device.choose_dtype("bfloat16", CPU) == torch.bfloat16
    with pytest.raises(DeviceError):
        device.choose_dtype("float16", CPU)
    with pytest.raises(DeviceError):
        device.choose_dtype("int8", CPU)


def test_free_memory_is_plausible():
    assert 2**20 < device.free_memory(CPU) < 2**50


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_failed_allocations_are_told_from_bugs(error, expected):
    assert device.is_out_of_memory(error) is expected


def test_a_real_failed_allocation_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert device.is_out_of_memory(caught.value)
