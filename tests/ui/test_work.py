"""Uploads are restored as the command restores files."""

import threading
import zipfile

import numpy as np
import pytest
from animation_files import animation, few_colours
from conftest import save_photograph

from drcnet_cli.errors import DrcnetError, UsageError, WeightsError
from drcnet_cli.files.plan import Job
from drcnet_cli.imageio.folder import read_for_display
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.restore.outcome import Outcome
from drcnet_cli.ui.work import Wish, pack, plan_uploads, restore_uploads, say

CPU = RestoreConfig(device="cpu", dtype="float32")


def test_a_wish_becomes_the_commands_configuration(tmp_path):
    config = Wish("denoise", strength=0.5).config(CPU)
    assert (config.checkpoint, config.task, config.strength) == ("denoise", "denoise", 0.5)
    assert (config.device, config.explain) == ("cpu", False)
    assert Wish().config(CPU).explain
    own = Wish(weights=tmp_path / "own.safetensors").config(CPU)
    assert (own.checkpoint, own.task, own.explain) == (tmp_path / "own.safetensors", None, False)


def test_each_upload_has_its_place(tmp_path):
    names = ["a/a.jpg", "b/a.jpg", "c.0001", "d.tif"]
    uploads = [tmp_path / name for name in names]
    jobs = plan_uploads(uploads, tmp_path / "out", 4, None)
    places = [job.destination.relative_to(tmp_path / "out").as_posix() for job in jobs]
    assert places == ["0/a.jpg", "1/a.jpg", "2/c.0001.png", "3/d.tif"]
    assert [job.source for job in jobs] == uploads
    jobs = plan_uploads(uploads, tmp_path / "webp", 4, "webp")
    assert [job.destination.name for job in jobs] == ["a.webp", "a.webp", "c.0001.webp", "d.webp"]


@pytest.mark.parametrize(("count", "said"), [(0, "no picture"), (3, "3 pictures.* takes 2")])
def test_none_and_too_many_are_refused(tmp_path, count, said):
    with pytest.raises(UsageError, match=said):
        plan_uploads([tmp_path / "a.png"] * count, tmp_path / "out", 2, None)


def test_pictures_come_with_their_progress_and_bad_ones_with_a_sentence(tmp_path, tiny_weights):
    uploads = [tmp_path / "a.png", tmp_path / "b.png"]
    save_photograph(uploads[0])
    uploads[1].write_text("no picture")
    jobs = plan_uploads(uploads, tmp_path / "out", 2, None)
    config = Wish(weights=tiny_weights).config(CPU)
    events = list(restore_uploads(jobs, config, None, threading.Event()))
    outcomes = {event.job: event for event in events if isinstance(event, Outcome)}
    assert sum(event for event in events if isinstance(event, float)) == pytest.approx(1)
    assert not outcomes[jobs[0]].error and jobs[0].destination.exists()
    assert "megapixels in" in say(outcomes[jobs[0]])
    assert say(outcomes[jobs[1]]).startswith("b.png ")  # and not where it lies


def test_animations_are_restored_and_their_first_frames_shown(tmp_path, tiny_weights):
    frames = [few_colours(seed) for seed in range(3)]
    (tmp_path / "a.gif").write_bytes(animation("GIF", frames))
    jobs = plan_uploads([tmp_path / "a.gif"], tmp_path / "out", 2, None)
    config = Wish(weights=tiny_weights).config(CPU)
    *_, outcome = restore_uploads(jobs, config, None, threading.Event())
    assert isinstance(outcome, Outcome) and outcome.pictures == 3
    np.testing.assert_array_equal(read_for_display(jobs[0].source), frames[0])
    assert read_for_display(jobs[0].destination).shape == frames[0].shape


def test_a_missing_checkpoint_is_raised_where_results_are_awaited(tmp_path):
    save_photograph(tmp_path / "a.png")
    jobs = plan_uploads([tmp_path / "a.png"], tmp_path / "out", 1, None)
    config = Wish(weights=tmp_path / "missing.safetensors").config(CPU)
    with pytest.raises(WeightsError, match="missing"):
        list(restore_uploads(jobs, config, None, threading.Event()))


@pytest.mark.parametrize("how", ["left", "stopped"])
def test_nobody_computes_for_who_is_gone(tmp_path, tiny_weights, how):
    save_photograph(tmp_path / "a.png", height=300, width=300)
    jobs = plan_uploads([tmp_path / "a.png"] * 3, tmp_path / "out", 3, None)
    stopped = threading.Event()
    events = restore_uploads(jobs, Wish(weights=tiny_weights).config(CPU), None, stopped)
    assert isinstance(next(events), float)
    if how == "left":
        events.close()
        assert stopped.is_set()
    else:
        stopped.set()
        assert len([event for event in events if isinstance(event, Outcome)]) < 3
    assert not jobs[2].destination.exists()


def test_a_zip_holds_all_files_as_they_are_and_names_only_once(tmp_path):
    paths = [tmp_path / name for name in ("a/x.png", "b/X.png", "b/y.png")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(str(path).encode())
    with zipfile.ZipFile(pack(paths, tmp_path / "all.zip")) as archive:
        assert archive.namelist() == ["x.png", "2-X.png", "y.png"]
        assert [archive.read(name) for name in archive.namelist()] == [
            path.read_bytes() for path in paths
        ]


def test_losses_and_hints_are_told(tmp_path):
    job = Job(tmp_path / "in" / "a.png", tmp_path / "out" / "a.jpg")
    assert say(Outcome(job, 1.5, 2, ("alpha lost",))) == "1.5 megapixels in 2.0 s; alpha lost"
    error = DrcnetError(f"{job.destination} cannot be written.", "Make room")
    assert say(Outcome(job, error=error)) == "a.jpg cannot be written. Make room"
