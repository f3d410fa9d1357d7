"""How many processes restore on a CPU."""

import pytest
from conftest import save_photograph

from drcnet_cli.errors import UsageError
from drcnet_cli.parallel import jobs
from drcnet_cli.parallel.jobs import with_processes
from drcnet_cli.restore.config import RestoreConfig

CPU = RestoreConfig("denoise", device="cpu")


def count(config, wanted, pictures=1000):
    return len(with_processes(config, wanted, pictures).device.split(","))


def test_as_many_as_told():
    assert with_processes(CPU, "3", 1).device == "cpu,cpu,cpu"
    assert with_processes(CPU, "1", 1) == CPU
    for wrong in ("0", "-1", "many", "1.5", ""):
        with pytest.raises(UsageError, match="--jobs cannot be"):
            with_processes(CPU, wrong, 1)


def test_auto_goes_by_cores_memory_and_pictures(monkeypatch):
    monkeypatch.setattr(jobs, "usable_cores", lambda: 16)
    monkeypatch.setattr(jobs, "free_memory", lambda _: 100 * 2**30)
    assert count(CPU, "auto") == 16
    assert count(CPU, "auto", pictures=1) == 1
    assert count(CPU, "auto", pictures=32) == 32 // jobs.PICTURES_OF_PROCESS
    monkeypatch.setattr(jobs, "free_memory", lambda _: 10 * 2**30)
    assert count(CPU, "auto") == 7
    monkeypatch.setattr(jobs, "free_memory", lambda _: 2**20)
    assert count(CPU, "auto") == 1


def test_other_devices_have_one_process_each(monkeypatch):
    onnx = RestoreConfig("denoise", device="cpu", backend="onnx")
    two = RestoreConfig("denoise", device="cuda:0,cuda:1")
    assert with_processes(two, "auto", 1000) == with_processes(two, "1", 1000) == two
    assert with_processes(onnx, "auto", 1000) == onnx
    for config in (onnx, two):
        with pytest.raises(UsageError, match="one CPU and torch"):
            with_processes(config, "2", 1000)


def test_the_command_starts_them(drcnet, tmp_path, tiny_weights):
    for index in range(3):
        save_photograph(tmp_path / "in" / f"{index}.png")
    call = ("restore", "--weights", tiny_weights, "--device", "cpu", "in", "out")
    result = drcnet(*call, "--jobs", "2")
    assert result.returncode == 0, result.stderr
    assert "2 processes: cpu\n" in result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 3
