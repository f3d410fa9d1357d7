"""Files of several pictures through the pipeline: each as a file of its own, all or nothing."""

import sys
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from animation_files import animation, few_colours, opened
from conftest import photograph
from image_cases import RGB8
from PIL import Image
from tiff_files import PAGE, joined, page
from torch import nn

from drcnet_cli.errors import StorageError
from drcnet_cli.files.addresses import place_of
from drcnet_cli.files.plan import Job
from drcnet_cli.imageio import Several, parse_pages, read_picture, read_pictures
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.restore.diagnosis import Diagnosis
from drcnet_cli.restore.experts import LookingRestorer
from drcnet_cli.restore.outcome import RunObserver, WriteOptions
from drcnet_cli.restore.pipeline import STREAM, restore_files, restore_stream, settle_dtype
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import TileOptions

FRAMES = [photograph(seed=seed) for seed in range(3)]


class Negative(nn.Module):
    def forward(self, x):
        return 1 - x


def make_restorer(network=None, kind=Restorer, **settings) -> Restorer:
    info = CheckpointInfo(DRCNetConfig(width=2, depth=1), "tiny", training_patch=64)
    settings = {"device": torch.device("cpu"), "tiling": TileOptions(0), **settings}
    return kind(network or Negative(), info, **settings)


def job_of(folder, data: bytes, source="a.webp", target="b.webp", **more) -> Job:
    (folder / source).write_bytes(data)
    return Job(folder / source, folder / "out" / target, **more)


def run(job: Job, restorer=None, observer=None, **options):
    (outcome,) = restore_files(
        [job], restorer or make_restorer(), WriteOptions(**options), observer
    )
    return outcome


@pytest.mark.parametrize("format", ["WEBP", "PNG"])
def test_each_frame_is_what_it_would_be_as_a_picture_of_its_own(format, tmp_path):
    restorer, ending = make_restorer(Negative()), f".{format.lower()}"
    job = job_of(tmp_path, animation(format, FRAMES), f"a{ending}", f"b{ending}")
    outcome = run(job, restorer)
    assert outcome.error is None and outcome.pictures == 3
    assert outcome.record()["pictures"] == 3
    assert outcome.megapixels == pytest.approx(3 * 40 * 56 / 1e6)
    alone = []
    for number, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
        still = Job(tmp_path / f"{number}.png", tmp_path / "out" / f"{number}.png")
        assert run(still, restorer).error is None
        alone.append(read_picture(still.destination).pixels)
    found = [picture.pixels for picture, _ in opened(job.destination.read_bytes())]
    np.testing.assert_array_equal(found, alone)


def test_the_first_frames_choice_is_all_frames(tmp_path, monkeypatch):
    looked = []

    def diagnose(*_):
        looked.append(1)
        return Diagnosis({"rain": 1.0})

    monkeypatch.setattr("drcnet_cli.restore.experts.diagnose", diagnose)
    expert = make_restorer()
    restorer = make_restorer(kind=LookingRestorer, experts=lambda task, _: expert)
    outcome = run(job_of(tmp_path, animation("WEBP", FRAMES)), restorer)
    assert outcome.error is None and len(looked) == 1
    assert outcome.damage is not None
    run(job_of(tmp_path, joined(page(RGB8), page(RGB8, PAGE)), "a.tif", "b.tif"), restorer)
    assert len(looked) == 3  # pages are scenes of their own
    found = iter([Diagnosis({"nothing": 1.0}), Diagnosis({"rain": 1.0})])
    monkeypatch.setattr("drcnet_cli.restore.experts.diagnose", lambda *_: next(found))
    pages = joined(page(RGB8), page(RGB8, PAGE))
    outcome = run(job_of(tmp_path, pages, "c.tif", "d.tif"), restorer)
    assert outcome.damage is not None and outcome.damage["restored_by"] == [expert.info.name]


def test_transparent_frames_keep_their_holes_and_hidden_colours(tmp_path):
    frames = [np.dstack((frame, np.full(frame.shape[:2], 255, np.uint8))) for frame in FRAMES]
    for frame in frames:
        frame[5:20, 7:30, 3] = 0
    job = job_of(tmp_path, animation("WEBP", frames))
    assert run(job).error is None
    for (picture, _), frame in zip(opened(job.destination.read_bytes()), frames, strict=True):
        np.testing.assert_array_equal(picture.alpha, frame[..., 3])
        shown = frame[..., 3] > 0
        np.testing.assert_array_equal(picture.pixels[shown], 255 - frame[..., :3][shown])


def test_one_bad_frame_leaves_no_file_and_stops_no_others(tmp_path):
    class Fails(Negative):
        def forward(self, x):
            return x * torch.nan if abs(float(x.mean()) - unlucky) < 1e-6 else 1 - x

    unlucky = float((torch.from_numpy(FRAMES[1]).float() / 255).mean())
    job = job_of(tmp_path, animation("PNG", FRAMES), "a.png", "a.png")
    damaged = bytearray(animation("PNG", FRAMES))
    damaged[damaged.rindex(b"fdAT") + 30] ^= 1
    other = job_of(tmp_path, bytes(damaged), "c.png", "c.png")
    last = job_of(tmp_path, animation("GIF", FRAMES), "d.gif", "d.gif")
    outcomes = restore_files([job, other, last], make_restorer(Fails()), WriteOptions())
    first, second, third = outcomes
    assert first.error is None  # a tile that is no picture stays as it was, said
    assert "left as in the input" in first.notes[0]
    assert second.error is not None and "c.png, frame 3, is damaged" in second.error.message
    assert third.error is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.gif"]


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    jobs = [job_of(tmp_path, animation("GIF", FRAMES), f"{n}.gif", f"{n}.gif") for n in range(4)]

    class Full(BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "open", _opening(type(tmp_path).open, Full))
    outcomes = restore_files(jobs, make_restorer(), WriteOptions())
    assert isinstance(outcomes[0].error, StorageError)
    assert len(outcomes) == 1
    assert not list((tmp_path / "out").iterdir())


def _opening(original, full):
    return lambda path, mode="r", *a, **k: full() if mode == "wb" else original(path, mode, *a, **k)


def test_progress_comes_to_one_picture_and_masks_are_refused(tmp_path):
    shares = []
    observer = RunObserver(progress=lambda _, share: shares.append(share))
    job = job_of(tmp_path, animation("WEBP", FRAMES))
    run(job, observer=observer)
    assert sum(shares) == pytest.approx(1)
    masked = job_of(tmp_path, animation("WEBP", FRAMES), mask_out=tmp_path / "m.png")
    outcome = run(masked)
    assert outcome.error is not None and "masks are for one picture" in outcome.error.message


def test_pages_of_the_options_are_taken(tmp_path):
    job = job_of(tmp_path, animation("GIF", [few_colours(n) for n in range(5)]), "a.gif", "b.png")
    assert run(job, pages=parse_pages("2,4-")).pictures == 3
    found = [picture.pixels for picture, _ in opened(job.destination.read_bytes())]
    np.testing.assert_array_equal(found, [255 - few_colours(n) for n in (1, 3, 4)])
    still = job_of(tmp_path, animation("GIF", [few_colours(n) for n in range(5)]), "a.gif", "b.jpg")
    assert "holds one picture" in run(still).error.message
    assert run(still, pages=parse_pages("5")).error is None
    assert "asks for number 6" in run(still, pages=parse_pages("6")).error.message


def test_the_number_type_is_settled_by_a_first_frame(tmp_path):
    settled = []
    restorer = SimpleNamespace(dtype_is_open=True, settle_dtype=settled.append)
    job = job_of(tmp_path, animation("WEBP", FRAMES))
    settle_dtype(restorer, [job.source])
    np.testing.assert_array_equal(settled, [FRAMES[0]])


def test_a_stream_of_several_stays_what_it_is(tmp_path, monkeypatch):
    for data in (animation("GIF", FRAMES), joined(page(RGB8), page(RGB8, PAGE))):
        out = BytesIO()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(data)))
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
        outcome = restore_stream(Job(STREAM, STREAM), make_restorer(), WriteOptions())
        assert outcome.error is None
        found = read_pictures(BytesIO(out.getvalue()))
        assert isinstance(found, Several)
        assert found.format == {b"G": "GIF", b"I": "TIFF"}[data[:1]]


def test_addresses_are_read_and_written_whole(memory):
    memory.pipe_file("/in/a.webp", animation("WEBP", FRAMES))
    memory.pipe_file("/in/b.webp", animation("WEBP", FRAMES)[:-50])
    jobs = [
        Job(place_of(f"memory://in/{name}"), place_of(f"memory://out/{name}"))
        for name in ("a.webp", "b.webp")
    ]
    good, bad = restore_files(jobs, make_restorer(), WriteOptions())
    assert good.error is None and good.pictures == 3
    assert len(opened(memory.cat_file("/out/a.webp"))) == 3
    assert bad.error is not None and "behind its frame 2" in bad.error.message
    assert not memory.exists("/out/b.webp")
