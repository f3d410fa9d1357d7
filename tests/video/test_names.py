"""What a video's name decides: where its result goes, and in which container."""

from pathlib import Path

import pytest

from drcnet_cli.errors import UsageError
from drcnet_cli.files.plan import plan_files
from drcnet_cli.imageio import is_image_name, kinds, read_picture
from drcnet_cli.imageio.kinds import VIDEO
from drcnet_cli.video import container_of, is_video_name, output_ending


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(kinds, "_is_installed", lambda module: module == VIDEO.module)


def test_a_folders_videos_keep_their_container_or_become_matroska(installed, tmp_path):
    for name in ("a.MP4", "b.mov", "c.webm", "d.avi", "e.png"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    plan = plan_files(
        [tmp_path / "in"],
        tmp_path / "out",
        is_image=lambda path: is_image_name(path) or is_video_name(path),
        suffix=".webp",
        own_ending=output_ending,
    )
    made = [job.destination.name for job in plan.jobs]
    assert made == ["a.MP4", "b.mov", "c.mkv", "d.mkv", "e.webp"]


def test_videos_are_no_pictures_for_what_reads_pictures(installed):
    assert not is_image_name(Path("a.mp4"))
    assert not kinds.is_unread_name(Path("a.mp4"))


def test_typescript_is_no_video(installed):
    assert not is_video_name(Path("index.ts"))


def test_a_container_that_is_not_written_is_refused():
    assert container_of(Path("a.M4V")) == "mp4"
    with pytest.raises(UsageError, match=r"a\.webm is no name"):
        container_of(Path("a.webm"))


@pytest.mark.parametrize(
    "start",
    [b"\0\0\0\x20ftypisom", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI LIST", b"\0\0\0\x08wide"],
)
def test_a_video_under_a_pictures_name_is_named_as_one(start, tmp_path):
    (tmp_path / "a.jpg").write_bytes(start + bytes(300))
    with pytest.raises(Exception, match="is a video, not a picture") as caught:
        read_picture(tmp_path / "a.jpg")
    assert "clip.mp4" in caught.value.hint
