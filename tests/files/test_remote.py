"""Files elsewhere through fsspec: listed once, read within bounds, written whole, failures told."""

import os
import zipfile

import pytest
from hostile_server import HostileServer

from drcnet_cli.errors import ImageError, RemoteError, StorageError, UsageError
from drcnet_cli.files import remote
from drcnet_cli.files.addresses import Address
from drcnet_cli.files.finished import Finished
from drcnet_cli.files.plan import plan_files
from drcnet_cli.files.remote import list_objects, match_objects, read_object, write_object

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(remote, "_PAUSES", (0.0, 0.0))


def is_image(place):
    return place.suffix in (".png", ".jpg")


def plan(*inputs, output="memory://out", **options):
    return plan_files(inputs, output, is_image=is_image, **options)


def pairs(jobs):
    return [(str(job.source), str(job.destination)) for job in jobs]


def fill(system, *names, content=b"x"):
    for name in names:
        system.pipe_file(name, content)


# --- Planned by the rules of files


def test_a_tree_is_mirrored_and_the_rest_counted(memory):
    fill(memory, "/in/a10.png", "/in/a2.png", "/in/sub/b.jpg", "/in/notes.txt", "/in/.h/1.png")
    fill(memory, "/in/.h/2.png", "/in/sub/.c.png")
    found = plan("memory://in")
    assert pairs(found.jobs) == [
        ("memory://in/a2.png", "memory://out/a2.png"),
        ("memory://in/a10.png", "memory://out/a10.png"),
        ("memory://in/sub/b.jpg", "memory://out/sub/b.jpg"),
    ]
    assert (found.passed_over.hidden, found.passed_over.not_images) == (2, 1)
    assert [job.source.size for job in found.jobs] == [1, 1, 1]


def test_files_patterns_and_several_inputs(memory, tmp_path):
    fill(memory, "/in/a.png", "/in/b.png", "/in/sub/c.png")
    (tmp_path / "d.png").write_bytes(b"x")
    assert pairs(plan("memory://in/a.png", output="memory://r.jpg").jobs) == [
        ("memory://in/a.png", "memory://r.jpg")
    ]
    assert [job.destination.url for job in plan("memory://in/{a,b}.png").jobs] == [
        "memory://out/a.png",
        "memory://out/b.png",
    ]
    assert [job.destination.url for job in plan("memory://in/**/*.png").jobs][-1:] == [
        "memory://out/sub/c.png"
    ]
    several = plan("memory://in/sub", "memory://in/a.png", str(tmp_path / "d.png"), output="o")
    assert [job.destination.as_posix() for job in several.jobs] == [
        "o/sub/c.png",
        "o/a.png",
        "o/d.png",
    ]


def test_finished_outputs_are_found_by_one_listing(memory, monkeypatch):
    fill(memory, *(f"/in/{n}.png" for n in range(20)))
    fill(memory, *(f"/out/{n}.png" for n in range(10)))
    fill(memory, "/out/19.png", content=b"")
    asked = []
    for name in ("find", "info", "exists", "ls", "glob"):
        whole = getattr(type(memory), name)

        def counted(*arguments, name=name, whole=whole, **options):
            asked.append(name)
            return whole(*arguments, **options)

        monkeypatch.setattr(type(memory), name, counted)
    found = plan("memory://in")
    assert (len(found.jobs), len(found.finished)) == (10, 10)
    assert asked.count("find") == 2
    assert len(asked) < 10


def test_an_output_older_than_its_input_is_told(memory):
    fill(memory, "/out/a.png")
    fill(memory, "/in/a.png")
    early, late = (memory.store[name] for name in ("/out/a.png", "/in/a.png"))
    early.created = late.created.replace(year=2020)
    with Finished(lambda: "recipe") as judge:
        assert len(plan("memory://in", judge=judge).stale) == 1
    with Finished(lambda: "recipe", update=True) as judge:
        assert len(plan("memory://in", judge=judge).jobs) == 1


def test_the_output_may_lie_in_the_input_but_not_be_it(memory):
    fill(memory, "/in/a.png", "/in/out/b.png")
    assert len(plan("memory://in", output="memory://in/out").jobs) == 1
    with pytest.raises(UsageError, match="is the input folder"):
        plan("memory://in/", output="memory://in")
    with pytest.raises(UsageError, match="is an input"):
        plan("memory://in/a.png", output="memory://in/a.png")


def test_no_name_leads_out_of_the_output(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("in/../../evil.png", "/in/root.png", "in//b.png", "in/a.png"):
            archive.writestr(name, b"x")
    found = plan(f"zip://in::{tmp_path / 'x.zip'}", output="out")
    assert [job.destination.as_posix() for job in found.jobs] == ["out/a.png"]


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["memory://none"], "out", "nothing at memory://none"),
        (["memory://none/*.png"], "out", "Nothing matches"),
        (["nosuch://a.png"], "out", "no address that is known"),
        (["memory://in"], "https://host/out", "only read"),
        (["memory://in"], "zip://out::x.zip", "only read"),
        (["memory://in"], "hf://datasets/a/b", "only read"),
        (["memory://in"], "nosuch://out", "only read"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(memory, inputs, output, message):
    fill(memory, "/in/a.png")
    with pytest.raises(UsageError, match=message):
        plan(*inputs, output=output)


def test_addresses_are_not_replaced_in_place(memory):
    fill(memory, "/in/a.png")
    with pytest.raises(UsageError, match="replaces files"):
        plan("memory://in", output=None, in_place=True)


def test_a_missing_package_is_one_sentence(monkeypatch):
    def missing(_):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(UsageError, match="one more package") as caught:
        plan("zip://a.png::s3://bucket/x.zip", output="out")
    assert caught.value.hint == "Install s3fs to access S3"  # of zip, which this says first
    with pytest.raises(UsageError) as caught:
        plan("s3://bucket/in", output="out")
    assert caught.value.hint == "Type: pip install 'drcnet[s3]'"


# --- Read within bounds


def test_a_size_is_refused_before_anything_comes(memory, monkeypatch):
    fill(memory, "/a.png", content=b"12345")
    monkeypatch.setattr(type(memory), "cat_file", lambda *_, **__: pytest.fail("was read"))
    for address in (Address("memory://a.png"), Address("memory://a.png").told(5, None)):
        with pytest.raises(ImageError, match="more than a picture has"):
            read_object(address, 4)


def test_an_object_that_grew_is_not_read_beyond_what_was_told(memory):
    fill(memory, "/a.png", content=b"12345")
    assert read_object(Address("memory://a.png").told(3, None), 100) == b"123"


def test_failures_that_may_pass_are_tried_again(memory, monkeypatch, impatient):
    fill(memory, "/a.png", content=b"12345")
    whole, answers = type(memory).cat_file, [OSError("503"), b"12", TimeoutError()]

    def cat_file(*arguments, **options):
        answer = answers.pop(0) if answers else whole(*arguments, **options)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(type(memory), "cat_file", cat_file)
    with pytest.raises(RemoteError, match="did not answer in time"):
        read_object(Address("memory://a.png"), 100)
    answers[:] = [OSError("503"), b"12"]
    assert read_object(Address("memory://a.png"), 100) == b"12345"


def test_failures_that_stay_are_not(memory, monkeypatch, impatient):
    calls = []

    def refuse(*_, **__):
        calls.append(1)
        raise PermissionError("Forbidden")

    monkeypatch.setattr(type(memory), "pipe_file", refuse)
    with pytest.raises(StorageError, match="refuses access"):
        write_object(Address("memory://a.png"), b"x")
    assert len(calls) == 1


def test_archives_are_opened_once_a_thread(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for n in range(5):
            archive.writestr(f"{n}.png", b"x" * n)
    opened = []
    whole = zipfile.ZipFile.__init__
    monkeypatch.setattr(
        zipfile.ZipFile, "__init__", lambda *a, **k: (opened.append(1), whole(*a, **k))[1]
    )
    listed = list_objects(Address(f"zip://::{tmp_path / 'x.zip'}"))
    assert [read_object(address, 9) for address, _ in listed] == [b"x" * n for n in range(5)]
    assert len(opened) == 1


def test_patterns_match_folders_too(memory):
    fill(memory, "/in/s1/a.png", "/in/s2/b.png", "/in/t/c.png")
    found = match_objects(Address("memory://in"), "s*")
    assert sorted(place for _, place in found) == ["s1/a.png", "s2/b.png"]


# --- From the web


@pytest.fixture
def web():
    pytest.importorskip("aiohttp", reason="reading http takes drcnet[http]")


def test_the_web_is_read(web):
    with HostileServer(os.urandom(100_000), "whole") as server:
        assert read_object(Address(f"{server.url}/a.png"), 10**6) == server.content
        assert [method for method, *_ in server.asked] == ["GET"]


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("endless", "larger than what is read"),
        ("endless in chunks", "larger than what is read"),
        ("endless and announced", "more than a picture has"),
        ("compressed", "larger than what is read|cannot be read"),
        ("shorter than said", "was cut off"),
        ("get redirects in circles", "cannot be read"),
        ("get redirects to a file", "cannot be read"),
        ("no http", "cannot be read"),
        ("closes", "cut off"),
    ],
)
def test_the_web_is_not_trusted(web, impatient, way, message):
    with (
        HostileServer(os.urandom(5000), way) as server,
        pytest.raises(ImageError, match=message) as caught,
    ):
        read_object(Address(f"{server.url}/a.png?signature=SECRET"), 2**20)
    assert "SECRET" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_web_lists_nothing(web):
    with pytest.raises(UsageError, match="has no folders"):
        list_objects(Address("http://127.0.0.1/in/"))
