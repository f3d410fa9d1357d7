"""Processes that load batches: what becomes of their failures in the one that trains."""

import os
import signal

import numpy as np
import pytest
import torch

from drcnet_cli.errors import DrcnetError, ImageError
from drcnet_cli.train import batches
from drcnet_cli.train.batches import load_batches, requests


class Numbers:
    """Samples that are their own number; that of `bad` fails as `failure` does."""

    def __init__(self, bad=-1, failure=None) -> None:
        self.bad, self.failure = bad, failure

    def sample(self, number, patch):
        if number == self.bad and self.failure is not None:
            self.failure()
        return np.full((3, patch, patch), number, np.float32), np.zeros((3, patch, patch))


def take(source, count, workers):
    stream = load_batches(source, requests(0, 8, 2, 0, 1), workers, pin=False)
    return [next(stream) for _ in range(count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_the_order_of_their_numbers(workers):
    found = [batch[0, :, 0, 0, 0].tolist() for batch in take(Numbers(), 3, workers)]
    assert found == [[0, 1], [2, 3], [4, 5]]


def damaged():
    raise ImageError("a.png cannot be read.")


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_comes_out_as_what_it_is(workers):
    with pytest.raises(ImageError, match="a.png"):
        take(Numbers(3, damaged), 3, workers)


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL there")
def test_a_loading_process_that_was_killed_is_a_sentence():
    with pytest.raises(DrcnetError, match="was killed, most likely for want of memory") as error:
        take(Numbers(3, killed), 3, 1)
    assert "--workers" in error.value.hint


def test_full_shared_memory_is_a_sentence_and_no_endless_wait(monkeypatch):
    def full(_tensor):
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    assert len(take(Numbers(), 2, 0)) == 2  # needs none
    with pytest.raises(DrcnetError, match="No space left on device") as error:
        take(Numbers(), 1, 1)
    assert "/dev/shm" in error.value.hint
    assert error.value.hint == batches._MORE_MEMORY
