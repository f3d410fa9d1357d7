"""Alignment as RealBlur's authors evaluate; expected numbers are scikit-image's of their recipe."""

import dataclasses
import math

import numpy as np
import pytest
from PIL import Image

from drcnet_cli.errors import UsageError
from drcnet_cli.evaluation.align import align, aligned_scores
from drcnet_cli.metrics import psnr
from drcnet_cli.tasks import Protocol

PROTOCOL = Protocol(aligned=True)


def scene() -> np.ndarray:
    coarse = np.random.default_rng(3).integers(0, 256, (28, 32, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((126, 110), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def shifted():
    """Return a result that is darker and lies two pixels off, and its target."""
    whole = scene()
    return (whole[8:104, 5:117] * 0.9).astype(np.uint8), whole[6:102, 6:118]


def test_scores_are_those_of_the_published_recipe(shifted):
    scores = aligned_scores(*shifted, PROTOCOL, notify=pytest.fail)
    # Made once: OpenCV 5.0, structural_similarity of scikit-image 0.26 with the recipe's options.
    assert scores == pytest.approx((28.50994, 0.995205), abs=0.01)
    assert scores[0] > psnr(*shifted) + 10


def test_nothing_is_counted_where_the_result_does_not_reach(shifted):
    alignment = align(*shifted)
    assert alignment.converged
    assert set(np.unique(alignment.overlap)) == {0.0, 1.0}
    rows, columns = 2, 1
    height, width = alignment.overlap.shape
    assert alignment.overlap.sum() == pytest.approx((height - rows) * (width - columns), rel=0.01)


def test_brightness_does_not_count():
    target = scene()
    darker = (target // 2).astype(np.uint8)
    assert aligned_scores(darker, target, PROTOCOL)[0] > 45 > psnr(darker, target) + 30


def test_equal_pictures_are_perfect():
    assert aligned_scores(scene(), scene(), PROTOCOL) == (math.inf, pytest.approx(1.0))


@pytest.mark.parametrize("result", ["black", "flat", "negative"])
def test_what_cannot_be_aligned_is_compared_as_it_lies_and_said(result):
    target = scene()
    restored = {"black": 0 * target, "flat": 0 * target + 77, "negative": 255 - target}[result]
    said = []
    scores = aligned_scores(restored, target, PROTOCOL, notify=said.append)
    assert len(said) == 1
    assert scores[0] == pytest.approx(psnr(restored, target), abs=1e-3)


def test_a_target_without_structure_is_no_crash():
    said = []
    aligned_scores(scene(), np.full_like(scene(), 9), PROTOCOL, notify=said.append)
    assert said


def test_only_the_published_protocol_and_pictures_of_one_size():
    target = scene()
    for change in ({"psnr_channel": "y"}, {"ssim_variant": "3d"}):
        with pytest.raises(UsageError, match="RGB"):
            aligned_scores(target, target, dataclasses.replace(PROTOCOL, **change))
    with pytest.raises(UsageError, match="differ in size"):
        aligned_scores(target[1:], target, PROTOCOL)
    with pytest.raises(UsageError, match="too small"):
        aligned_scores(target[:20], target[:20], PROTOCOL)
