"""`drcnet restore` on tar shards in WebDataset's layout, as a process."""

import io
import json
import tarfile

import pytest
from conftest import environment, photograph
from PIL import Image


def encoded(seed: int = 0, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(photograph(seed=seed)).save(file, format)
    return file.getvalue()


def shard(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1234567890
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return file.getvalue()


def members(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}


def test_shards_go_in_and_shards_come_out(drcnet, tmp_path, tiny_weights):
    folder = tmp_path / "in"
    folder.mkdir()
    samples = {
        "a/0001.png": encoded(1),
        "a/0001.json": b"{}",
        "a/0001.seg.png": encoded(2),
        "../0002.JPG": encoded(3, "JPEG"),
        "0003.png": b"<html>",
        "0003.txt": b"goes with its picture",
    }
    (folder / "shard-000.tar").write_bytes(shard(samples))
    (folder / "shard-001.tar").write_bytes(shard({"9.png": encoded(9)})[:5000])
    (folder / "shard-002.tar").write_bytes(shard({"7.cls": b"7"}))
    call = ("restore", "-w", tiny_weights, "in/shard-{000..099}.tar", "out", "--json")
    first = drcnet(*call)
    assert first.returncode == 1, first.stderr
    made = members((tmp_path / "out" / "shard-000.tar").read_bytes())
    assert list(made) == ["a/0001.png", "a/0001.json", "a/0001.seg.png", "../0002.JPG"]
    assert made["a/0001.seg.png"] == samples["a/0001.seg.png"]
    assert made["a/0001.png"] != samples["a/0001.png"]
    assert Image.open(io.BytesIO(made["../0002.JPG"])).size == (56, 40)
    assert members((tmp_path / "out" / "shard-002.tar").read_bytes()) == {"7.cls": b"7"}
    assert not (tmp_path / "out" / "shard-001.tar").exists()
    statuses = {
        record["input"]: record["status"] for record in map(json.loads, first.stdout.splitlines())
    }
    assert statuses == {
        "in/shard-000.tar/a/0001.png": "restored",
        "in/shard-000.tar/../0002.JPG": "restored",
        "in/shard-000.tar/0003.png": "failed",
        "in/shard-001.tar": "failed",
    }
    assert "2 restored, 2 failed." in first.stderr
    assert "in/shard-000.tar/0003.png is a web page" in first.stderr
    assert str(tmp_path) not in first.stderr
    second = drcnet(*call)
    assert "0 restored, 2 already there, 1 failed." in second.stderr


def test_what_does_not_go_with_shards_is_said(drcnet, tmp_path, tiny_weights):
    (tmp_path / "a.tar").write_bytes(shard({"1.png": encoded()}))
    result = drcnet("restore", "-w", tiny_weights, "a.tar", "--in-place")
    assert result.returncode == 2
    assert "cannot go with shards" in result.stderr


def test_shards_of_a_bucket(drcnet, tmp_path, tiny_weights):
    pytest.importorskip("s3fs", reason="a bucket takes drcnet[s3]")
    pytest.importorskip("moto", reason="the bucket is moto's")
    from s3_server import S3Server

    with S3Server() as server:
        for n in range(2):
            server.put(f"in/shard-{n:03}.tar", shard({f"{n}.png": encoded(n), f"{n}.txt": b"t"}))
        result = drcnet(
            "restore", "-w", tiny_weights, "--format", "jpg",
            "s3://pictures/in/shard-{000..001}.tar", "s3://pictures/out/",
            env=environment(tmp_path, **server.environment),
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert list(members(server.get("out/shard-001.tar"))) == ["1.jpg", "1.txt"]
