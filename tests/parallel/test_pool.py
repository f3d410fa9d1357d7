"""Plain work in this process or in several."""

import os
import signal
import time

import cv2
import pytest

from drcnet_cli.errors import DrcnetError, ImageError, UsageError
from drcnet_cli.parallel.pool import runner


def double(number):
    return 2 * number


def where(_):
    return os.getpid(), cv2.getNumThreads()


def fail(number):
    return ImageError(f"{number} cannot be read.", "Try another.")


def wait(number):
    time.sleep(number)


def end(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_process_is_this_one(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert list(runner(None)(double, [1, 2])) == [2, 4]
    assert {pid for pid, _ in runner("1")(where, [1, 2])} == {os.getpid()}
    with pytest.raises(UsageError, match="--jobs cannot be"):
        runner("many")(double, [1])


def test_several_share_the_threads_and_keep_the_order(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    found = list(runner("2")(where, [1, 2, 3]))
    assert os.getpid() not in {pid for pid, _ in found}
    assert {threads for _, threads in found} == {2}
    assert list(runner("2")(double, range(5))) == [0, 2, 4, 6, 8]
    error = next(iter(runner("2")(fail, ["a.png"])))
    assert (error.message, error.hint) == ("a.png cannot be read.", "Try another.")


def test_nothing_is_begun_that_nobody_asks_for():
    begun = time.monotonic()
    results = iter(runner("2")(wait, [0] + [0.5] * 200))
    assert next(results) is None
    results.close()
    assert time.monotonic() - begun < 40


def test_a_process_that_is_killed_is_a_sentence():
    with pytest.raises(DrcnetError, match="perhaps for want of memory"):
        list(runner("2")(end, [1, 2]))
