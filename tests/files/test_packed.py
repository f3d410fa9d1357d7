"""`Packed` is a list that takes less memory."""

import pickle
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drcnet_cli.files import packed
from drcnet_cli.files.packed import Packed
from drcnet_cli.files.plan import Job


@given(items=st.lists(st.integers() | st.text(), max_size=30), data=st.data())
def test_it_answers_as_a_list_does(items, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_CHUNK", 4)
        made = Packed(items)
        assert list(made) == items
        assert len(made) == len(items)
        assert made == items
        assert made != [*items, 0]
        bounds = st.none() | st.integers(-40, 40)
        part = slice(data.draw(bounds), data.draw(bounds), data.draw(st.sampled_from([1, 2, -1])))
        assert list(made[part]) == items[part]
        for number in data.draw(st.permutations(range(-len(items), len(items)))):
            assert made[number] == items[number]
        with pytest.raises(IndexError):
            made[len(items)]


def test_it_grows_while_it_is_read():
    made = Packed(range(1500))
    seen = []
    for item in made:
        seen.append(item)
        if item < 1000:
            made.append(item + 1500)
    assert seen == list(range(2500))


def test_jobs_take_a_tenth_of_what_their_paths_do():
    jobs = Packed(
        Job(Path(f"/shots/{n // 1000:04}/IMG_{n:06}.jpg"), Path(f"/out/{n // 1000:04}/{n:06}.jpg"))
        for n in range(8 * 1024)
    )
    kept = sum(map(sys.getsizeof, jobs._chunks)) / len(jobs)
    assert kept < 60 < len(pickle.dumps(jobs[0])) / 2
    assert jobs[5000].source == Path("/shots/0005/IMG_005000.jpg")
