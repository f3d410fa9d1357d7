"""Several devices at once: one process each, here on the CPU twice."""

import json
import os
import signal
import time
from functools import partial
from queue import Empty, Queue
from threading import Thread

import pytest
from conftest import save_photograph

from drcnet_cli.device import choose_devices
from drcnet_cli.errors import DeviceError, StorageError, WeightsError
from drcnet_cli.files import plan as files
from drcnet_cli.imageio import is_image_name
from drcnet_cli.parallel.dispatch import Dispatch, Worker, serve
from drcnet_cli.parallel.processes import Processes, restore_jobs
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.restore.outcome import Outcome, RunObserver, WriteOptions
from drcnet_cli.restore.pipeline import restore_files
from drcnet_cli.restore.tiling import TileOptions

plan_files = partial(files.plan_files, is_image=is_image_name)


def folder(tmp_path, count=6):
    for index in range(count):
        save_photograph(tmp_path / "in" / f"{index}.png")
    return tmp_path / "in"


def config(weights, **more) -> RestoreConfig:
    return RestoreConfig(weights, device="cpu,cpu", dtype="float32", **more)


def test_two_processes_restore_what_one_does(tmp_path, tiny_weights):
    from drcnet_cli.api import load_model

    source = folder(tmp_path)
    (source / "bad.png").write_bytes(b"no picture")
    alone = plan_files([source], tmp_path / "alone")
    restore_files(alone.jobs, load_model(tiny_weights, "cpu", "float32").restorer(), WriteOptions())
    progress, finished = [], []
    observer = RunObserver(lambda megapixels, share: progress.append(share), finished.append)
    plan = plan_files([source], tmp_path / "both")
    outcomes = restore_jobs(plan.jobs, config(tiny_weights), WriteOptions(), observer)
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
    workers, start = [], Processes.start
    monkeypatch.setattr(
        Processes, "start", lambda *args: workers.append(start(*args)) or workers[-1]
    )

    def kill_one(megapixels, share) -> None:
        if all(worker.handle.is_alive() for worker in workers):
            victim = next(worker for worker in workers if 0 in worker.taken)
            os.kill(victim.handle.pid, signal.SIGKILL)
            victim.handle.join()

    small_tiles = config(tiny_weights, tiling=TileOptions(tile=32, overlap=8))
    observer = RunObserver(progress=kill_one)
    outcomes = restore_jobs(plan.jobs, small_tiles, WriteOptions(), observer)
    assert len(outcomes) == 24
    failed = [outcome for outcome in outcomes if outcome.error]
    assert plan.jobs[0] in {outcome.job for outcome in failed}
    assert len(failed) < 12
    assert all("killed" in str(outcome.error) for outcome in failed)


def test_a_full_disk_ends_the_run(tmp_path):
    jobs = plan_files([folder(tmp_path, 3)], tmp_path / "out").jobs
    run = Dispatch(jobs, config("denoise"), WriteOptions(), Processes(2))
    assert run.next_job(0) == (0, jobs[0])
    run.finish(Outcome(jobs[0], error=StorageError("No space left on device.")))
    assert run.next_job(0)[1] is None
    assert len(run.outcomes) == 1


def test_nobody_takes_ahead_what_another_could_begin(tmp_path):
    """Two workers, five jobs: who has some waiting leaves the other as many."""
    jobs = plan_files([folder(tmp_path, 5)], tmp_path / "out").jobs
    run = Dispatch(jobs, config("denoise"), WriteOptions(), Processes(2))
    asked = [run.next_job(ahead)[1] for ahead in (0, 1, 2, 1, 1, 0, 0)]
    assert asked == [*jobs[:4], None, jobs[4], None]


def test_the_parent_loads_no_network_and_all_compute_alike(tmp_path, tiny_weights, monkeypatch):
    """The first process settles the number type, which the others take over."""
    started, start = [], Processes.start

    def note_start(self, config, options, samples):
        started.append(config)
        return start(self, config, options, samples)

    monkeypatch.setattr(Processes, "start", note_start)
    monkeypatch.setattr(
        "drcnet_cli.restore.config.load_checkpoint", lambda _: pytest.fail("loaded in the parent")
    )
    source, opened = folder(tmp_path, 4), []
    (source / "0.png").write_bytes(b"no picture")
    plan = plan_files([source], tmp_path / "out")
    observer = RunObserver(opened=opened.append)
    open_type = RestoreConfig(tiny_weights, device="cpu,cpu")
    outcomes = restore_jobs(plan.jobs, open_type, WriteOptions(), observer)
    assert sum(outcome.error is None for outcome in outcomes) == 3
    assert [facts.name for facts in opened] == ["tiny"]
    assert observer.facts is not None
    assert [config.dtype for config in started] == ["auto", observer.facts.dtype]


class Threads:
    """Workers that are threads: dispatching needs no processes."""

    def start(self, config, options, samples):
        here, there = Queue(), Queue()
        thread = Thread(target=serve, args=(Channel(there, here), config, options, samples))
        thread.start()
        return Worker("thread", Channel(here, there), thread)

    def wait(self, workers):
        while not (ready := [w for w in workers if self.is_ready(w)]):
            time.sleep(0.001)
        return ready

    def is_ready(self, worker):
        return not (worker.handle.is_alive() and worker.channel.incoming.empty())

    def stop(self, workers):
        for worker in workers:
            worker.handle.join()


class Channel:
    def __init__(self, incoming, outgoing):
        self.incoming, self.send = incoming, outgoing.put

    def recv(self):
        try:
            return self.incoming.get(timeout=1)
        except Empty:
            raise EOFError from None


def test_another_launcher_may_take_the_place_of_processes(tmp_path, tiny_weights):
    plan = plan_files([folder(tmp_path, 5)], tmp_path / "out")
    outcomes = Dispatch(plan.jobs, config(tiny_weights), WriteOptions(), Threads()).run()
    assert [outcome.error for outcome in outcomes] == [None] * 5


def test_a_process_that_cannot_begin_says_why(tmp_path):
    plan = plan_files([folder(tmp_path, 1)], tmp_path / "out")
    with pytest.raises(WeightsError, match="missing.safetensors"):
        missing = config(tmp_path / "missing.safetensors")
        Dispatch(plan.jobs, missing, WriteOptions(), Processes(2)).run()


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
