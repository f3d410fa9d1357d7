"""`drcnet restore` on animations and files of pages, as a process."""

import json
import signal
import subprocess
import time

import numpy as np
import pytest
from animation_files import LOSSLESS, animation, by_pillow, opened, times
from conftest import command, environment, photograph
from image_cases import GRAY8, RGB16
from PIL import Image
from tiff_files import PAGE, joined, page

FRAMES = [photograph(seed=seed) for seed in range(3)]
TIMES = [50, 120, 90]


@pytest.fixture
def files(tmp_path):
    """A folder of one file of each kind, and a photograph."""
    folder = tmp_path / "in"
    folder.mkdir()
    for format in LOSSLESS:
        data = animation(format, FRAMES, duration=TIMES, loop=0)
        (folder / f"{format.lower()}.{format.lower()}").write_bytes(data)
    (folder / "tiff.tif").write_bytes(joined(*(page(array, PAGE) for array in (RGB16, GRAY8))))
    Image.fromarray(FRAMES[0]).save(folder / "still.jpg")
    return folder


def test_a_folder_of_animations_and_pages(drcnet, files, tmp_path, tiny_weights):
    call = ("restore", "-w", tiny_weights, "in", "out", "--json", "--report", "page.html")
    result = drcnet(*call)
    assert result.returncode == 0, result.stderr
    records = {json.loads(line)["input"]: json.loads(line) for line in result.stdout.splitlines()}
    assert {name: record.get("pictures") for name, record in records.items()} == {
        "in/gif.gif": 3,
        "in/png.png": 3,
        "in/webp.webp": 3,
        "in/tiff.tif": 2,
        "in/still.jpg": None,
    }
    assert "[5/5]" in result.stderr and "3 pictures, " in result.stderr
    assert (tmp_path / "page.html").stat().st_size > 10_000
    for name in ("gif.gif", "png.png", "webp.webp"):
        data = (tmp_path / "out" / name).read_bytes()
        assert times(data) == TIMES
        for shown, frame in zip(by_pillow(data), FRAMES, strict=True):
            assert np.abs(shown[..., :3].astype(float) - frame).mean() < 20
        assert Image.open(tmp_path / "out" / name).info["loop"] == 0
    kinds = [
        (p.pixels.dtype, p.pixels.shape)
        for p, _ in opened((tmp_path / "out/tiff.tif").read_bytes())
    ]
    assert kinds == [(RGB16.dtype, RGB16.shape), (GRAY8.dtype, (*GRAY8.shape, 1))]
    again = drcnet(*call[:-2])
    assert "5 already there" in again.stderr


def test_pages_are_chosen_and_count_as_other_settings(drcnet, files, tmp_path, tiny_weights):
    call = ("restore", "-w", tiny_weights, "in/gif.gif", "out/a.webp")
    assert drcnet(*call, "--pages", "1,3").returncode == 0
    assert times((tmp_path / "out/a.webp").read_bytes()) == [50, 90]
    told = drcnet(*call, "--pages", "2-3")
    assert told.returncode == 0 and "made with other settings" in told.stderr
    one = drcnet("restore", "-w", tiny_weights, "in/tiff.tif", "out/one.jpg", "--pages", "2")
    assert one.returncode == 0, one.stderr
    assert Image.open(tmp_path / "out/one.jpg").mode == "L"
    still = drcnet("restore", "-w", tiny_weights, "in/still.jpg", "out/still.png", "--pages", "1")
    assert still.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["in/gif.gif", "o.jpg"], 1, "3 frames, and JPEG holds one picture"),
        (["in/tiff.tif", "o.png"], 1, "2 pages, and PNG holds animations but no pages"),
        (["in/gif.gif", "o.png", "--pages", "4"], 1, "has 3 frames, and --pages 4"),
        (["in/still.jpg", "o.png", "--pages", "2"], 1, "has one picture"),
        (["in/gif.gif", "o.png", "--pages", "0"], 2, "counted from 1"),
        (["in/gif.gif", "o.png", "--pages", "x"], 2, "--pages cannot be"),
        (["in/gif.gif", "--in-place", "--pages", "1"], 2, "would lose the others"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    arguments, code, said, drcnet, files, tmp_path, tiny_weights
):
    result = drcnet("restore", "-w", tiny_weights, *arguments)
    assert result.returncode == code
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("o.*"))


def test_in_place_and_streams(drcnet, files, tmp_path, tiny_weights):
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    streamed = subprocess.run(
        command("restore", "-w", tiny_weights, "-", "-", "--quiet"),
        input=before["webp.webp"],
        capture_output=True,
        env=environment(tmp_path),
        timeout=120,
    )
    assert streamed.returncode == 0, streamed.stderr
    result = drcnet("restore", "-w", tiny_weights, "in", "--in-place")
    assert result.returncode == 0, result.stderr
    assert {path.name for path in files.iterdir()} == set(before)
    assert all(path.read_bytes() != before[path.name] for path in files.iterdir())
    assert (files / "webp.webp").read_bytes() == streamed.stdout
    assert "5 already there" in drcnet("restore", "-w", tiny_weights, "in", "--in-place").stderr


def test_several_processes_restore_animations(drcnet, files, tmp_path, tiny_weights):
    alone = drcnet("restore", "-w", tiny_weights, "in", "a")
    result = drcnet("restore", "-w", tiny_weights, "in", "b", "--jobs", "2", "--dtype", "float32")
    assert (alone.returncode, result.returncode) == (0, 0), result.stderr
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())


def test_an_interruption_leaves_no_half_written_animation(tmp_path, tiny_weights):
    frames = [photograph(200, 300, seed) for seed in range(40)]
    (tmp_path / "a.webp").write_bytes(animation("WEBP", frames))
    call = command("restore", "-w", tiny_weights, "a.webp", "out/a.webp")
    run = subprocess.Popen(
        call, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    )
    while run.poll() is None and not list(tmp_path.glob("out/.*.tmp")):
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    if run.returncode != 0:  # it may have been quicker
        assert run.returncode == 130, said
        assert not list((tmp_path / "out").iterdir())
