"""Means as they are published, and reductions of the error."""

import json
import math

import pytest
from score_helpers import evaluation, image

from drcnet_cli.evaluation.results import (
    dssim_reduction,
    rmse_reduction,
)


def test_means_are_of_decibels_and_a_perfect_picture_counts_as_100():
    measured = evaluation(image("a", 30.0), image("b", 40.0), image("c", math.inf))
    assert measured.mean("psnr") == pytest.approx((30 + 40 + 100) / 3)
    assert math.isnan(evaluation().mean("psnr"))
    assert math.isnan(measured.mean("lpips"))
    assert set(measured.means()) == {"psnr", "ssim", "input_psnr", "input_ssim", "seconds"}


def test_pictures_are_ranked_by_gain():
    measured = evaluation(image("a", 21.0), image("b", 19.0), image("c", 25.0))
    assert [item.name for item in measured.ranked()] == ["c", "a", "b"]
    assert image("same", math.inf, math.inf).gain == 0


@pytest.mark.parametrize(
    ("expected", "failed", "complete"),
    [(None, (), True), (1, (), True), (2, (), False), (1, ("b: damaged",), False)],
)
def test_only_a_whole_data_set_stands_beside_published_results(expected, failed, complete):
    measured = evaluation(image("a", 30.0), expected=expected, failed=failed)
    assert measured.complete is complete


def test_a_record_is_json():
    record = json.loads(json.dumps(evaluation(image("a", 30.0)).record()))
    assert record["means"]["psnr"] == 30
    assert record["images"][0]["name"] == "a"


def test_reductions_are_those_of_the_errors():
    # 6.02 dB more is half the RMSE; an SSIM from 0.8 to 0.9 halves the dissimilarity.
    assert rmse_reduction(36.0206, 30.0) == pytest.approx(50, abs=0.01)
    assert rmse_reduction(30.0, 30.0) == 0
    assert rmse_reduction(24.0, 30.0) < 0
    assert dssim_reduction(0.9, 0.8) == pytest.approx(50)
    assert dssim_reduction(1.0, 1.0) == 0
