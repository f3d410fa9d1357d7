"""LPIPS: what the package is given, and what is said without it."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from drcnet_cli.errors import UsageError
from drcnet_cli.evaluation.perceptual import load_lpips


def test_pictures_are_given_in_the_range_that_the_package_wants(monkeypatch):
    made = []

    class Lpips(torch.nn.Module):
        def __init__(self, **options):
            super().__init__()
            made.append(options)

        def forward(self, first, second):
            assert first.shape == (1, 3, 4, 5)
            assert (float(first.min()), float(first.max())) == (-1.0, 1.0)
            return (first - second).abs().mean().reshape(1, 1, 1, 1)

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=Lpips))
    distance = load_lpips(torch.device("cpu"))
    image = np.zeros((4, 5, 3), np.uint8)
    image[0, 0] = 255
    assert distance(image, image) == 0
    assert distance(image, 255 - image) == pytest.approx(2)
    assert made == [{"net": "alex", "verbose": False}]


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UsageError, match="lpips") as caught:
        load_lpips(torch.device("cpu"))
    assert "pip install" in caught.value.hint
