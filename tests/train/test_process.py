import os

import pytest
import torch
from training_helpers import photographs, tiny

from drcnet_cli.train.process import Threads, fastest_threads
from drcnet_cli.train.setup import open_run


class Work:
    """Work and its clock: it takes so many seconds with so many threads, the first time longer."""

    def __init__(self, seconds):
        self.seconds, self.now, self.last = seconds, 0.0, 0
        self.tried = []

    def __call__(self):
        threads = torch.get_num_threads()
        self.now += self.seconds[threads] + (5.0 if threads != self.last else 0.0)
        self.last = threads
        self.tried.append(threads)

    def clock(self):
        return self.now


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 1.0}, 1),
        ({2: 1.0, 1: 1.9}, 2),  # idle
        ({2: 1.0, 1: 0.1}, 1),  # busy
        ({2: 1.0, 1: 0.95}, 2),  # no clear gain: all the cores will be of use later
        ({8: 4.0, 4: 2.0, 2: 1.0, 1: 1.5}, 2),
        ({6: 1.0, 3: 0.5, 1: 0.7}, 3),
    ],
)
def test_fewer_threads_are_taken_while_they_are_faster(seconds, best):
    work = Work(seconds)
    assert fastest_threads(work, max(seconds), work.clock) == best
    assert min(work.tried) >= best // 2  # a slower number ends the search


def test_fitting_leaves_no_gradient_and_the_number_is_put_back(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("drcnet_cli.train.process.fastest_threads", one_thread)
    parts = open_run(tiny(photographs(tmp_path / "clean"), tmp_path / "run", steps=1))
    torch.set_num_threads(2)
    before = {name: value.clone() for name, value in parts.network.state_dict().items()}
    with Threads() as threads:
        threads.fit(parts, 16)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    assert all(weight.grad is None for weight in parts.network.parameters())
    assert all(torch.equal(v, before[name]) for name, v in parts.network.state_dict().items())


def one_thread(work, most):
    work()
    return 1


def test_a_number_given_by_the_environment_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr("drcnet_cli.train.process.fastest_threads", one_thread)
    parts = open_run(tiny(photographs(tmp_path / "clean"), tmp_path / "run", steps=1))
    torch.set_num_threads(2)
    with Threads() as threads:
        threads.fit(parts, 16)
        assert torch.get_num_threads() == 2


def test_a_compiling_run_keeps_what_it_compiles(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "taken back at the end")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    settings = {"steps": 1, "compile": True}
    open_run(tiny(photographs(tmp_path / "clean"), tmp_path / "run", **settings))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "cache/compiled")
