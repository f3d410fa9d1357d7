"""The pipeline over files: what overlaps, what is bounded, and what one failure may not stop."""

import errno
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from conftest import photograph, save_photograph
from PIL import Image
from torch import nn

from drcnet_cli.cli._restore_report import summarise
from drcnet_cli.errors import ImageError, StorageError
from drcnet_cli.files.plan import Job, PassedOver, Plan
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.restore import pipeline as restore
from drcnet_cli.restore.outcome import RunObserver, WriteOptions
from drcnet_cli.restore.pipeline import restore_files
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import TileOptions


class Negative(nn.Module):
    """Restores pictures to their negatives, after a while."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return 1 - x


def make_restorer(network=None) -> Restorer:
    info = CheckpointInfo(DRCNetConfig(width=2, depth=1), training_patch=64)
    return Restorer(network or Negative(), info, device=torch.device("cpu"), tiling=TileOptions(0))


def make_jobs(folder: Path, count: int, **size) -> list[Job]:
    return [
        Job(
            save_photograph(folder / "in" / f"{i}.png", seed=i, **size), folder / "out" / f"{i}.png"
        )
        for i in range(count)
    ]


def test_every_file_is_restored_into_its_own_output(tmp_path):
    outcomes = restore_files(make_jobs(tmp_path, 6), make_restorer(), WriteOptions())
    assert [outcome.error for outcome in outcomes] == [None] * 6
    for index in range(6):
        restored = np.asarray(Image.open(tmp_path / "out" / f"{index}.png"))
        assert np.array_equal(restored, 255 - photograph(seed=index))


def test_failures_of_every_stage_are_outcomes(tmp_path, monkeypatch):
    jobs = make_jobs(tmp_path, 4)
    jobs[0].source.write_bytes(b"not a picture")
    written = restore.write_picture

    def full_disk(picture, destination, **options):
        if destination.name == "1.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(picture, destination, **options)

    monkeypatch.setattr(restore, "write_picture", full_disk)

    class Breaks(Negative):
        def forward(self, x):
            broken = abs(float(x.mean()) - unlucky) < 1e-6 or float(x.std()) == 0
            return x * torch.nan if broken else 1 - x

    unlucky = float((torch.from_numpy(photograph(seed=2)).float() / 255).mean())
    outcomes = restore_files(jobs, make_restorer(Breaks()), WriteOptions())
    errors = {o.job.source.name: o.error.message if o.error else None for o in outcomes}
    assert "0.png" in errors["0.png"]
    assert "No space left" in errors["1.png"]
    assert "2.png" in errors["2.png"]
    assert "no picture's" in errors["2.png"]
    assert errors["3.png"] is None


def test_a_bug_is_not_taken_for_a_bad_file(tmp_path):
    class Buggy(Negative):
        def forward(self, x):
            raise TypeError("a bug")

    with pytest.raises(TypeError):
        restore_files(make_jobs(tmp_path, 3), make_restorer(Buggy()), WriteOptions())
    assert not list(tmp_path.rglob("*.tmp"))


def test_reading_and_writing_overlap_computing(tmp_path, monkeypatch):
    # Each stage takes 50 ms a picture: one after another 12 pictures would take 1.8 s.
    read, write = restore.read_pictures, restore.write_picture
    monkeypatch.setattr(restore, "read_pictures", lambda p, **_: (time.sleep(0.05), read(p))[1])
    monkeypatch.setattr(
        restore, "write_picture", lambda *a, **k: (time.sleep(0.05), write(*a, **k))[1]
    )
    jobs = make_jobs(tmp_path, 12, height=16, width=16)
    watch = RunObserver()
    started = time.perf_counter()
    restore_files(jobs, make_restorer(Negative(0.05)), WriteOptions(), watch)
    assert time.perf_counter() - started < 1.5
    assert watch.waited < 0.5


def test_pictures_in_flight_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(restore, "BYTES_IN_FLIGHT", 1)  # room for one picture at a time
    alive = []
    most = []
    read, write = restore.read_pictures, restore.write_picture
    lock = threading.Lock()

    def reading(path, **_):
        picture = read(path)
        with lock:
            alive.append(path)
            most.append(len(alive))
        return picture

    def writing(picture, destination, **options):
        time.sleep(0.02)
        notes = write(picture, destination, **options)
        with lock:
            alive.pop()
        return notes

    monkeypatch.setattr(restore, "read_pictures", reading)
    monkeypatch.setattr(restore, "write_picture", writing)
    outcomes = restore_files(make_jobs(tmp_path, 8), make_restorer(), WriteOptions())
    assert len(outcomes) == 8
    assert max(most) == 1


def test_progress_counts_each_picture_once(tmp_path):
    shares, finished = [], []
    watch = RunObserver(
        progress=lambda megapixels, share: shares.append((megapixels, share)),
        finished=finished.append,
    )
    restore_files(make_jobs(tmp_path, 3), make_restorer(), WriteOptions(), watch)
    assert sum(share for _, share in shares) == pytest.approx(3)
    assert sum(megapixels for megapixels, _ in shares) == pytest.approx(3 * 40 * 56 / 1e6)
    assert len(finished) == 3


def test_running_out_of_host_memory_while_reading_fails_one_file(tmp_path, monkeypatch):
    read = restore.read_pictures

    def huge(path, **_):
        if path.name == "1.png":
            raise MemoryError
        return read(path)

    monkeypatch.setattr(restore, "read_pictures", huge)
    outcomes = restore_files(make_jobs(tmp_path, 3), make_restorer(), WriteOptions())
    failed = [outcome for outcome in outcomes if outcome.error]
    assert [outcome.job.source.name for outcome in failed] == ["1.png"]
    assert isinstance(failed[0].error, ImageError)


def test_running_out_of_host_memory_later_fails_one_file(tmp_path, monkeypatch):
    write = restore.write_picture

    def huge(picture, destination, **options):
        if destination.name == "2.png":
            raise MemoryError
        return write(picture, destination, **options)

    made = make_restorer()
    restored = made.restore
    monkeypatch.setattr(restore, "write_picture", huge)
    monkeypatch.setattr(made, "restore", lambda *a: calls.pop()() or restored(*a))
    calls = [lambda: None, lambda: None, no_memory, lambda: None]
    outcomes = restore_files(make_jobs(tmp_path, 4), made, WriteOptions())
    failed = {outcome.job.source.name for outcome in outcomes if outcome.error}
    assert failed == {"1.png", "2.png"}
    assert not list(tmp_path.rglob("*.tmp"))


def no_memory():
    raise MemoryError


def test_an_output_that_cannot_be_written_is_not_computed(tmp_path, monkeypatch):
    made = make_restorer()
    monkeypatch.setattr(made, "restore", no_memory)
    job = make_jobs(tmp_path, 1)[0]
    (outcome,) = restore_files(
        [Job(job.source, job.destination.with_suffix(".pbm"))], made, WriteOptions()
    )
    assert outcome.error is not None
    assert ".pbm" in outcome.error.message


def test_records_are_plain_json(tmp_path):
    outcome = restore_files(make_jobs(tmp_path, 1), make_restorer(), WriteOptions())[0]
    record = outcome.record()
    assert (record["status"], record["error"], record["notes"]) == ("restored", None, [])
    assert record["input"].endswith("0.png")


def test_a_full_disk_ends_the_run_and_is_said_once(tmp_path, monkeypatch, capsys):
    jobs = make_jobs(tmp_path, 30)
    write = restore.write_picture

    def fill(picture, target, **options):
        if target.stem != "0":
            raise StorageError(f"{target} cannot be written: No space left on device.", "Make room")
        return write(picture, target, **options)

    monkeypatch.setattr(restore, "write_picture", fill)
    outcomes = restore_files(jobs, make_restorer(), WriteOptions())
    assert [outcome.error is None for outcome in outcomes].count(True) == 1
    assert len(outcomes) < 10
    plan = Plan(tuple(jobs), (), PassedOver(), ())
    with pytest.raises(typer.Exit) as end:
        summarise(plan, outcomes, quiet=False, as_json=False)
    assert end.value.exit_code == 1
    said = capsys.readouterr().err
    assert said.count("No space left") == 1
    assert f"1 restored, {len(outcomes) - 1} failed, {30 - len(outcomes)} not begun." in said


class Spread(nn.Module):
    """Draws each pixel's colour from its neighbourhood, as every network does."""

    def forward(self, x):
        return nn.functional.avg_pool2d(x, 5, 1, 2, count_include_pad=False)


def test_hidden_colours_do_not_reach_the_visible_edge(tmp_path):
    rgba = np.full((32, 32, 4), 200, np.uint8)
    rgba[:, 16:] = (0, 0, 0, 0)
    rgba[:, :16, 3] = 255
    (tmp_path / "in").mkdir()
    Image.fromarray(rgba).save(tmp_path / "in" / "a.png")
    job = Job(tmp_path / "in" / "a.png", tmp_path / "a.png")
    (outcome,) = restore_files([job], make_restorer(Spread()), WriteOptions())
    assert outcome.error is None
    restored = np.asarray(Image.open(job.destination))
    np.testing.assert_array_equal(restored, rgba)


def test_floats_and_transparency_follow_the_options(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.fromarray(np.full((8, 8), 51, np.float32)).save(tmp_path / "b.tif")
    jobs = [
        Job(tmp_path / "a.png", tmp_path / "a.jpg"),
        Job(tmp_path / "b.tif", tmp_path / "out.tif"),
    ]
    plain = restore_files(jobs, make_restorer(), WriteOptions())
    assert ["--background" in str(o.error) or "--float-range" in str(o.error) for o in plain] == [
        True,
        True,
    ]
    told = restore_files(jobs, make_restorer(), WriteOptions(float_range=255, background="white"))
    assert [outcome.error for outcome in told] == [None, None]
    assert np.asarray(Image.open(tmp_path / "a.jpg")).min() == 255
    # The negative of 51 of 255.
    np.testing.assert_allclose(np.asarray(Image.open(tmp_path / "out.tif")), 204, atol=0.01)
