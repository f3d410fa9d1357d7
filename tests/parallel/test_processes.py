"""Several devices at once: one process each, here on the CPU twice."""

import json
import os
import signal
from functools import partial

import pytest
from conftest import save_photograph

from drcnet_cli.device import choose_devices
from drcnet_cli.errors import DeviceError, StorageError, WeightsError
from drcnet_cli.files import plan as files
from drcnet_cli.imageio import is_image_name
from drcnet_cli.parallel.processes import Recipe, _Run, _start, restore_on
from drcnet_cli.restore.pipeline import Outcome, Watch, WriteOptions, restore_files
from drcnet_cli.restore.tile_rule import Tiling

plan_files = partial(files.plan_files, is_image=is_image_name)


def folder(tmp_path, count=6):
    for index in range(count):
        save_photograph(tmp_path / "in" / f"{index}.png")
    return tmp_path / "in"


def recipe(weights) -> Recipe:
    return Recipe(weights, "float32")


def test_two_processes_restore_what_one_does(tmp_path, tiny_weights):
    from drcnet_cli.api import load_model, make_restorer

    source = folder(tmp_path)
    (source / "bad.png").write_bytes(b"no picture")
    alone = plan_files([source], tmp_path / "alone")
    restore_files(
        alone.jobs, make_restorer(load_model(tiny_weights, "cpu", "float32")), WriteOptions()
    )
    progress, finished = [], []
    watch = Watch(lambda megapixels, share: progress.append(share), finished.append)
    plan = plan_files([source], tmp_path / "both")
    outcomes = restore_on(["cpu", "cpu"], plan.jobs, recipe(tiny_weights), WriteOptions(), watch)
    assert outcomes == finished
    assert {outcome.job for outcome in outcomes} == set(plan.jobs)
    assert [outcome.job.source.name for outcome in outcomes if outcome.error] == ["bad.png"]
    assert sum(progress) == pytest.approx(6)
    for index in range(6):
        one, other = (tmp_path / name / f"{index}.png" for name in ("alone", "both"))
        assert one.read_bytes() == other.read_bytes()


def test_a_killed_process_fails_its_jobs_and_the_other_goes_on(tmp_path, tiny_weights, monkeypatch):
    source = folder(tmp_path, 24)
    # The first job is long: whoever has it is under way when the first tile is reported.
    save_photograph(source / "0.png", height=768, width=768)
    plan = plan_files([source], tmp_path / "out")
    workers = []
    monkeypatch.setattr(
        "drcnet_cli.parallel.processes._start",
        lambda *args: workers.append(_start(*args)) or workers[-1],
    )

    def kill_one(megapixels, share) -> None:
        if all(worker.process.is_alive() for worker in workers):
            victim = next(worker for worker in workers if 0 in worker.taken)
            os.kill(victim.process.pid, signal.SIGKILL)
            victim.process.join()

    small_tiles = Recipe(tiny_weights, "float32", Tiling(tile=32, overlap=8))
    watch = Watch(progress=kill_one)
    outcomes = restore_on(["cpu", "cpu"], plan.jobs, small_tiles, WriteOptions(), watch)
    assert len(outcomes) == 24
    failed = [outcome for outcome in outcomes if outcome.error]
    assert plan.jobs[0] in {outcome.job for outcome in failed}
    assert len(failed) < 12
    assert all("killed" in str(outcome.error) for outcome in failed)


def test_a_full_disk_ends_the_run(tmp_path):
    jobs = plan_files([folder(tmp_path, 3)], tmp_path / "out").jobs
    run = _Run(iter(enumerate(jobs)), [], Watch(), print)
    assert run.next_job() == (0, jobs[0])
    run.finish(Outcome(jobs[0], error=StorageError("No space left on device.")))
    assert run.next_job()[1] is None
    assert len(run.outcomes) == 1


def test_a_process_that_cannot_begin_says_why(tmp_path):
    plan = plan_files([folder(tmp_path, 1)], tmp_path / "out")
    with pytest.raises(WeightsError, match="missing.safetensors"):
        restore_on(["cpu"], plan.jobs, recipe(tmp_path / "missing.safetensors"), WriteOptions())


def test_the_command_takes_a_list_of_devices(drcnet, tmp_path, tiny_weights):
    folder(tmp_path, 3)
    call = ("restore", "--weights", tiny_weights, "--device", "cpu,cpu", "in", "out", "--json")
    result = drcnet(*call)
    assert result.returncode == 0, result.stderr
    assert "2 processes" in result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(record["status"] for record in records[:3]) == ["restored"] * 3
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_devices_are_named_one_by_one_or_all(monkeypatch):
    import torch

    assert choose_devices("auto") == ["auto"]
    assert choose_devices("cpu,cpu") == ["cpu", "cpu"]
    with pytest.raises(DeviceError):
        choose_devices("cpu,gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert choose_devices("cuda:all") == ["cuda:0", "cuda:1", "cuda:2"]
    assert choose_devices("cuda:0,cuda:2") == ["cuda:0", "cuda:2"]
