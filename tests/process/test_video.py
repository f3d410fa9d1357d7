"""`drcnet restore` on videos as a process: what it writes, what it says, and its exit codes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import command, environment, save_photograph


@pytest.fixture
def clips():
    pytest.importorskip("av", reason="needs drcnet[video]")
    import video_clips

    return video_clips


def names(folder) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_clip_is_restored_with_its_sound_and_a_second_run_skips_it(
    drcnet, tmp_path, clips, tiny_weights
):
    clips.make_clip(tmp_path / "clip.mp4", audio=True)
    call = ("restore", "-w", tiny_weights, "clip.mp4", "out.mp4", "--json")
    first = drcnet(*call)
    assert first.returncode == 0, first.stderr
    assert "[1/1] out.mp4: 12 frames in " in first.stderr
    record = json.loads(first.stdout)
    assert (record["status"], record["frames"], record["error"]) == ("restored", 12, None)
    audio = [clips.packets_of(tmp_path / name, "audio") for name in ("clip.mp4", "out.mp4")]
    assert audio[0] == audio[1]
    # Another quality is another result, which is said, and made when that is asked for.
    again = drcnet(*call, "--crf", "40")
    assert (again.returncode, json.loads(again.stdout)["status"]) == (0, "skipped")
    assert "1 output is older than its input or was made with other settings" in again.stderr
    redone = drcnet(*call, "--crf", "40", "--update", "--quiet")
    assert (redone.returncode, redone.stderr) == (0, "")
    assert json.loads(redone.stdout)["status"] == "restored"


def test_a_folders_pictures_and_videos_are_restored(drcnet, tmp_path, clips, tiny_weights):
    save_photograph(tmp_path / "in" / "a.png")
    clips.make_clip(tmp_path / "in" / "sub" / "b.mov")
    clips.make_clip(tmp_path / "in" / "c.avi", codec="mpeg4")
    (tmp_path / "in" / "d.mp4").write_bytes(b"hello")
    (tmp_path / "in" / "notes.txt").write_text("x")
    call = ("restore", "-w", tiny_weights, "in", "out")
    planned = drcnet(*call, "--dry-run")
    assert planned.returncode == 0
    assert "4 to restore, 0 already there, 1 not images." in planned.stderr
    assert not (tmp_path / "out").exists()
    result = drcnet(*call, "--format", "jpg")
    assert result.returncode == 1
    assert names(tmp_path / "out") == {"a.jpg", "sub/b.mov", "c.mkv"}
    assert "3 restored, 1 not images, 1 failed." in result.stderr
    assert result.stderr.count("Failed:") == 1
    assert "d.mp4 is damaged, cut off, or no video" in result.stderr
    assert result.stderr.count("tile ") == 1  # said once for pictures and videos
    assert "Traceback" not in result.stderr


def test_in_place(drcnet, tmp_path, clips, tiny_weights):
    clip = clips.make_clip(tmp_path / "clip.mkv")
    before = clip.read_bytes()
    result = drcnet("restore", "-w", tiny_weights, "--in-place", "clip.mkv", "--jobs", "2")
    assert result.returncode == 0, result.stderr
    assert clip.read_bytes() != before
    assert "Videos are restored one after the other" in result.stderr
    assert len(clips.frames_of(clip)) == 12


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_an_interrupted_video_leaves_nothing_and_starts_over(tmp_path, clips):
    clips.make_clip(tmp_path / "clip.mp4", steps=(24,) * 60, size=(320, 240))
    process = subprocess.Popen(
        command("restore", "-t", "denoise", "clip.mp4", "out.mp4"),
        cwd=tmp_path,
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.mp4.*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "begins the video under way anew" in stderr
    assert "Traceback" not in stderr
    assert names(tmp_path) - {p for p in names(tmp_path) if p.startswith(".cache")} == {"clip.mp4"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("clip.mp4", "out.webm"), "out.webm is no name that a restored video can have."),
        (("clip.mp4", "out.png"), "out.png is no name that a restored video can have."),
        (("--ray", "local", "clip.mp4", "out.mp4"), "--ray is for pictures, and clip.mp4 is"),
        (("--mask-out", "m", "clip.mp4", "out.mp4"), "--mask-out is for pictures, and clip.mp4"),
        (("--crf", "52", "clip.mp4", "out.mp4"), "--crf"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(drcnet, tmp_path, clips, more, said):
    clips.make_clip(tmp_path / "clip.mp4")
    result = drcnet("restore", "-t", "denoise", *more)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_video_on_standard_input_is_named(drcnet, tmp_path, clips, tiny_weights):
    clip = clips.make_clip(tmp_path / "clip.mp4")
    with clip.open("rb") as stream:
        result = drcnet("restore", "-w", tiny_weights, "-", "out.png", stdin=stream)
    assert result.returncode == 1
    assert "is a video, not a picture" in result.stderr


# Without the extra


@pytest.fixture
def without(tmp_path):
    """Return an environment in which PyAV cannot be found."""
    (tmp_path / ".site").mkdir()
    (tmp_path / ".site" / "sitecustomize.py").write_text("import sys; sys.modules['av'] = None\n")
    path = os.pathsep.join([str(tmp_path / ".site"), environment(tmp_path)["PYTHONPATH"]])
    return environment(tmp_path, PYTHONPATH=path)


def test_without_the_extra_a_video_is_refused_with_the_command(drcnet, tmp_path, without):
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    result = drcnet("restore", "-t", "denoise", "clip.mp4", "out.mp4", env=without)
    assert result.returncode == 2
    assert "clip.mp4 is a video, which takes one more package to read." in result.stderr
    assert "pip install 'drcnet[video]'" in result.stderr


def test_without_the_extra_a_folders_videos_are_left_out_and_named(
    drcnet, tmp_path, without, tiny_weights
):
    save_photograph(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.mov").write_bytes(b"\0\0\0\x20ftypqt  ")
    result = drcnet("restore", "-w", tiny_weights, "in", "out", "--json", env=without)
    assert result.returncode == 0, result.stderr
    assert "Left out: 1 file of kinds that are not read here (1 .mov). " in result.stderr
    assert "pip install 'drcnet[video]'" in result.stderr
    records = {json.loads(line)["status"] for line in result.stdout.splitlines()}
    assert records == {"restored", "unread"}
