"""Whose files lie where, and when they go."""

import time

import pytest

from drcnet_cli.ui.store import Store


def upload(store: Store, name: str):
    path = store.root / name
    path.write_bytes(b"a picture")
    return path


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_visitor_who_leaves_takes_everything_along(store):
    mine, other = upload(store, "mine.png"), upload(store, "other.png")
    store.note_uploads("me", [mine])
    store.note_uploads("you", [other])
    (folder, stopped), (others, _) = store.begin("me"), store.begin("you")
    (folder / "result.png").write_bytes(b"a result")
    store.forget("me")
    store.forget("nobody")
    assert stopped.is_set()
    assert sorted(store.root.iterdir()) == sorted([other, others])


def test_the_next_results_take_the_place_of_the_last(store):
    first, stopped = store.begin("me")
    second, goes_on = store.begin("me")
    assert not first.exists() and second.is_dir()
    assert stopped.is_set() and not goes_on.is_set()


def test_when_the_page_ends_everything_stops(store):
    events = [store.begin(visitor)[1] for visitor in ("me", "you")]
    store.stop("me")
    assert [event.is_set() for event in events] == [True, False]
    store.close()
    assert events[1].is_set()


def test_what_two_visitors_uploaded_goes_with_the_last(store):
    path = upload(store, "same.png")
    for visitor in ("me", "you"):
        store.note_uploads(visitor, [path])
    store.forget_uploads("me")
    assert path.exists()
    store.forget("you")
    assert not path.exists()


def test_the_pages_own_pictures_stay(store):
    example = upload(store, "example.png")
    store.keep()
    store.note_uploads("me", [example])
    store.forget("me")
    assert example.exists()


def test_who_does_nothing_for_long_is_forgotten(tmp_path):
    store = Store(tmp_path, idle=0.05)
    folder, _ = store.begin("me")
    time.sleep(0.1)
    store.begin("you")
    assert not folder.exists()
