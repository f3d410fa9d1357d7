"""Bundles of jobs: of like size, each job once, and none done again that is done."""

import pickle
from dataclasses import replace

import pytest
from conftest import save_photograph

from drcnet_cli.api import load_model
from drcnet_cli.files.addresses import Address
from drcnet_cli.files.plan import Job
from drcnet_cli.files.remote import existing_object, read_object, write_object
from drcnet_cli.parallel import bundles
from drcnet_cli.restore.outcome import WriteOptions


def jobs(tmp_path, sizes):
    made = []
    for index, size in enumerate(sizes):
        path = tmp_path / f"{index}.png"
        path.write_bytes(b"x" * size)
        made.append(Job(path, tmp_path / "out" / path.name))
    return list(enumerate(made))


def numbers(packed):
    return [number for number, *_ in pickle.loads(packed).jobs]


def test_files_of_like_size_share_a_bundle(tmp_path, monkeypatch):
    monkeypatch.setitem(bundles.MOST_BYTES, "cpu", 100)
    monkeypatch.setattr(bundles, "MOST_PICTURES", 3)
    given = jobs(tmp_path, [10, 300, 60, 11, 61, 12, 9])
    assert [numbers(bundle) for bundle in bundles.make_bundles(given)] == [
        [1], [4], [2, 5, 3], [0, 6],
    ]  # fmt: skip


def test_a_file_that_is_gone_has_a_bundle_too(tmp_path):
    missing = Job(tmp_path / "gone.png", tmp_path / "out.png")
    assert [numbers(bundle) for bundle in bundles.make_bundles([(7, missing)])] == [[7]]


@pytest.fixture
def restorer(tiny_weights):
    return load_model(tiny_weights, "cpu", "float32").restorer()


def test_a_bundle_that_comes_twice_is_restored_once(tmp_path, restorer):
    given = [
        (5, Job(save_photograph(tmp_path / "a.png"), tmp_path / "out" / "a.png")),
        (6, Job(save_photograph(tmp_path / "b.png"), tmp_path / "out" / "b.png")),
    ]
    (bundle,) = bundles.make_bundles(given)
    plan = [None] * 5 + [job for _, job in given]

    def restore():
        told = bundles.restore_bundle(bundle, restorer, WriteOptions(), ["said once"])
        return [bundles.unpack(each) for each in told]

    first = restore()
    stamps = [(tmp_path / "out" / name).stat() for name in ("a.png", "b.png")]
    (tmp_path / "out" / "b.png").unlink()  # as if its worker had been lost before
    again = restore()
    assert {told.number for told in first} == {told.number for told in again} == {5, 6}
    assert [told.notes for told in first] == [("said once",), ()]
    assert all(told.outcome.job == plan[told.number] for told in first + again)
    assert {told.number: told.outcome.megapixels > 0 for told in again} == {5: False, 6: True}
    assert (tmp_path / "out" / "a.png").stat() == stamps[0]
    assert (tmp_path / "out" / "b.png").stat().st_size == stamps[1].st_size


def test_an_output_of_before_the_run_is_replaced(tmp_path, restorer):
    job = Job(save_photograph(tmp_path / "a.png"), tmp_path / "out.png")
    job.destination.write_bytes(b"an old output")
    (bundle,) = bundles.make_bundles([(0, job)])
    list(bundles.restore_bundle(bundle, restorer, WriteOptions(), []))
    assert job.destination.read_bytes().startswith(b"\x89PNG")


def test_what_its_workers_may_have_ended_goes_alone(tmp_path):
    given = jobs(tmp_path, [10, 10, 10])
    assert [numbers(bundle) for bundle in bundles.make_bundles(given)] == [[2, 1, 0]]
    assert [numbers(each) for each in bundles.make_bundles(given, again=True)] == [[2], [1], [0]]


@pytest.mark.parametrize(("again", "succeeds"), [(True, False), (False, True), (False, False)])
def test_an_object_that_a_lost_worker_made_is_not_made_again(tmp_path, restorer, again, succeeds):
    source = save_photograph(tmp_path / "a.png")
    job = Job(source, Address(f"memory://bundles/{again}{succeeds}.png"))
    (bundle,) = bundles.make_bundles([(0, job)], again=again)
    write_object(job.destination, b"made before its worker was lost")
    (told,) = bundles.restore_bundle(bundle, restorer, WriteOptions(), [], succeeds)
    assert bundles.unpack(told).outcome.error is None
    is_kept = read_object(job.destination, 2**20).startswith(b"made before")
    assert is_kept == (again or succeeds)
    # An output of before the run is another's: the plan told of it.
    old = replace(job, destination=existing_object(job.destination))
    before = {}
    list(bundles.make_bundles([(0, old)], before=before))
    (bundle,) = bundles.make_bundles([(0, old)], again=again, before=before)
    list(bundles.restore_bundle(bundle, restorer, WriteOptions(), [], succeeds))
    assert read_object(job.destination, 2**20).startswith(b"\x89PNG")


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_a_lost_worker_made_is_not_made_again(tmp_path, restorer, old):
    job = Job(save_photograph(tmp_path / "a.png"), tmp_path / "out.png")
    if old:  # an output of before the run is another's
        job.destination.write_bytes(b"of before")
    before = {}
    list(bundles.make_bundles([(0, job)], before=before))
    assert list(before) == ([0] if old else [])
    (tmp_path / "made.png").write_bytes(b"made before its worker was lost")
    (tmp_path / "made.png").replace(job.destination)
    (bundle,) = bundles.make_bundles([(0, job)], again=True, before=before)
    list(bundles.restore_bundle(bundle, restorer, WriteOptions(), []))
    assert job.destination.read_bytes() == b"made before its worker was lost"
