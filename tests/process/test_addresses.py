"""`drcnet restore` between addresses as a process: archives, the web, a bucket that misbehaves."""

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import environment, photograph
from hostile_server import HostileServer
from PIL import Image

from drcnet_cli.cli._folders import folder_here


def encoded(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photograph(seed=seed)).save(file, "PNG")
    return file.getvalue()


def records(result) -> dict[str, str]:
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return {line["input"]: line["status"] for line in lines}


def test_an_archive_is_restored_into_a_folder_and_a_second_run_skips_it(
    drcnet, tmp_path, tiny_weights
):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("tree/a.png", encoded(0))
        archive.writestr("tree/sub/b.png", encoded(1))
        archive.writestr("tree/sub/bad.png", b"<html>")
        archive.writestr("tree/../evil.png", encoded(2))
        archive.writestr("tree/notes.txt", b"x")
    call = ("restore", "-w", tiny_weights, "zip://tree::in.zip", "out", "--json")
    first = drcnet(*call)
    assert first.returncode == 1, first.stderr
    assert records(first) == {
        "zip://tree/a.png::in.zip": "restored",
        "zip://tree/sub/b.png::in.zip": "restored",
        "zip://tree/sub/bad.png::in.zip": "failed",
    }
    assert "2 restored, 2 not images, 1 failed." in first.stderr
    assert Image.open(tmp_path / "out" / "sub" / "b.png").size == (56, 40)
    assert not (tmp_path / "evil.png").exists()
    second = drcnet(*call)
    assert records(second)["zip://tree/a.png::in.zip"] == "skipped"


def test_the_web_is_read_and_no_signature_shown(drcnet, tmp_path, tiny_weights):
    pytest.importorskip("aiohttp", reason="reading http takes drcnet[http]")
    with HostileServer(encoded(), "whole") as server:
        url = f"{server.url}/a%20b.png?signature=SECRET"
        result = drcnet("restore", "-w", tiny_weights, url, "out/", "--json")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "a b.png").exists()
    assert "SECRET" not in result.stdout + result.stderr


def test_other_commands_work_on_a_copy_in_the_cache(drcnet, tmp_path, tiny_weights):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("tree/a.png", encoded(0))
        archive.writestr("tree/.hidden.png", b"x")
    made = drcnet("degrade", "--kind", "gaussian-25", "zip://tree::in.zip", "pairs")
    assert made.returncode == 0, made.stderr
    assert "1 pairs in pairs" in made.stderr
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as archive:
        for side in ("lq", "gt"):
            archive.write(tmp_path / "pairs" / side / "a.png", f"{side}/a.png")
    sides = ("--lq", "zip://lq::pairs.zip", "--gt", "zip://gt::pairs.zip")
    scores = drcnet("eval", "-w", tiny_weights, "--task", "denoise", *sides, "--json")
    assert scores.returncode == 0, scores.stderr
    record = json.loads(scores.stdout.splitlines()[0])
    assert record["title"] == "zip://lq::pairs.zip against zip://gt::pairs.zip"
    assert record["layout"] == "zip://lq::pairs.zip and zip://gt::pairs.zip"


def test_a_file_manager_s_addresses_of_folders_are_paths(tmp_path):
    assert folder_here(f"file://{tmp_path}/a%20b", quiet=True) == tmp_path / "a b"


def test_what_is_only_read_is_not_written(drcnet, tiny_weights):
    result = drcnet("restore", "-w", tiny_weights, "in", "zip://out::x.zip")
    assert result.returncode == 2
    assert "zip:// is only read here" in result.stderr


# --- A bucket


@pytest.fixture
def bucket():
    pytest.importorskip("s3fs", reason="a bucket takes drcnet[s3]")
    pytest.importorskip("moto", reason="the bucket is moto's")
    from s3_server import S3Server

    with S3Server() as server:
        yield server


@pytest.fixture
def restore(drcnet, tmp_path, tiny_weights, bucket):
    """Return a function that restores with the bucket's credentials in the environment."""

    def run(*arguments):
        env = environment(tmp_path, **bucket.environment)
        bucket.asked.clear()
        return drcnet("restore", "-w", tiny_weights, *arguments, env=env)

    return run


def test_a_bucket_is_restored_into_a_bucket(restore, bucket):
    for n in range(12):
        bucket.put(f"in/sub/{n} x.png", encoded(n))
    bucket.put("in/../evil.png", encoded())
    bucket.put("in/bad.png", b"<html>")
    first = restore("s3://pictures/in", "s3://pictures/out", "--json")
    assert first.returncode == 1, first.stderr
    made = {key for key in bucket.names() if key.startswith("out/")}
    assert made == {f"out/sub/{n} x.png" for n in range(12)}
    assert Image.open(io.BytesIO(bucket.get("out/sub/3 x.png"))).size == (56, 40)
    assert "SECRET" not in first.stdout + first.stderr
    second = restore("s3://pictures/in", "s3://pictures/out", "--json")
    assert sorted(records(second).values()) == ["failed"] + ["skipped"] * 12
    # Two listings, what the input is, and the one picture that failed: no request for each.
    assert len(bucket.asked) <= 6


@pytest.mark.slow
def test_a_bucket_that_is_busy_or_cut_off_is_asked_again(restore, bucket, tmp_path):
    bucket.put("in/a.png", encoded())
    for fault in ("503", "cut"):
        left = [fault, fault]
        bucket.fault = lambda method, path, left=left: (
            left.pop() if left and method == "GET" and path.endswith("a.png") else None
        )
        result = restore("s3://pictures/in/a.png", f"{fault}.png")
        assert result.returncode == 0, result.stderr
        assert not left
        assert (tmp_path / f"{fault}.png").exists()


@pytest.mark.slow
def test_a_bucket_that_refuses_is_one_sentence(restore, bucket):
    bucket.put("in/a.png", encoded())
    bucket.put("in/b.png", encoded())
    bucket.fault = lambda method, path: "403" if method == "GET" and "b.png" in path else None
    reading = restore("s3://pictures/in", "s3://pictures/out")
    assert reading.returncode == 1
    assert reading.stderr.count("Failed:") == 1
    assert "in/b.png may not be read: the server refuses access." in reading.stderr
    bucket.fault = lambda method, _: "403" if method == "PUT" else None
    writing = restore("s3://pictures/in", "s3://pictures/other")
    assert writing.returncode == 1
    assert writing.stderr.count("Failed:") == 1  # as of a full disk
    bucket.fault = lambda *_: "403"
    listing = restore("s3://pictures/in", "out")
    assert listing.returncode == 3
    assert "Traceback" not in reading.stderr + writing.stderr + listing.stderr
    assert len([line for line in listing.stderr.splitlines() if line]) == 2  # and its hint


def test_a_missing_bucket_is_said(restore):
    result = restore("s3://nowhere/in", "out")
    assert result.returncode == 2
    assert "There is nothing at s3://nowhere/in." in result.stderr


@pytest.mark.slow
def test_the_end_of_a_large_upload_is_what_shows_it(bucket, monkeypatch, tmp_path):
    from drcnet_cli.errors import StorageError
    from drcnet_cli.files import remote
    from drcnet_cli.files.addresses import Address

    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "_PATIENCE", 0.0)
    data = bytes(101 * 2**20)  # in three parts
    bucket.fault = lambda method, path: (
        "403" if method == "PUT" and "partNumber=3" in path else None
    )
    with pytest.raises(StorageError, match="refuses access"):
        remote.write_object(Address("s3://pictures/large.bin"), data)
    assert bucket.names() == set()
    assert any(method == "DELETE" for method, _ in bucket.asked)  # of the parts
    bucket.fault = lambda *_: None
    remote.write_object(Address("s3://pictures/large.bin"), data)
    assert bucket.names() == {"large.bin"}


@pytest.mark.slow
def test_finished_outputs_of_a_large_bucket_take_no_request_each(restore, bucket):
    content, names = encoded(), [f"{n // 100:02}/{n}.png" for n in range(1500)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: bucket.put(f"in/{name}", content), names))
        list(pool.map(lambda name: bucket.put(f"out/{name}", content), names[1:]))
    result = restore("s3://pictures/in", "s3://pictures/out")
    assert result.returncode == 0, result.stderr
    assert "1 restored, 1499 already there." in result.stderr
    assert len(bucket.asked) <= 10
