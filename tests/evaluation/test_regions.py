"""Scores inside and outside masks, and their means."""

import math

import numpy as np
import pytest

from drcnet_cli.evaluation.regions import region_scores, to_lab
from drcnet_cli.evaluation.results import ImageScore
from drcnet_cli.metrics import psnr, ssim


@pytest.mark.parametrize(
    ("colour", "lab"),
    [  # under D50, as ICC profiles have them
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (54.29, 80.81, 69.89)),
        ((0, 255, 0), (87.82, -79.27, 80.99)),
        ((0, 0, 255), (29.57, 68.30, -112.03)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_lab_of_known_colours(colour, lab):
    pixels = np.full((1, 1, 3), colour, np.uint8)
    np.testing.assert_allclose(to_lab(pixels)[0, 0], lab, atol=0.05)


def test_regions_by_hand():
    target = np.full((2, 4, 3), 100, np.uint8)
    degraded, restored = target.copy(), target.copy()
    degraded[:, :2], restored[:, :2] = 60, 90
    restored[0, 3] = 101
    mask = np.zeros((2, 4), bool)
    mask[:, :2] = True
    found = region_scores(restored, degraded, target, mask, lab=True)
    assert found["psnr_inside"] == pytest.approx(10 * math.log10(255**2 / 100))
    assert found["input_psnr_inside"] == pytest.approx(10 * math.log10(255**2 / 1600))
    assert found["psnr_outside"] == pytest.approx(10 * math.log10(255**2 / 0.25))
    assert found["kept_outside"] == found["psnr_outside"]
    assert found["input_psnr_outside"] == math.inf
    light = [to_lab(np.full((1, 1, 3), value, np.uint8))[0, 0, 0] for value in (100, 60, 90)]
    assert found["input_lab_inside"] == pytest.approx(light[0] - light[1], abs=1e-3)
    assert found["lab_inside"] == pytest.approx(light[0] - light[2], abs=1e-3)
    assert found["lab_all"] == pytest.approx((found["lab_inside"] + found["lab_outside"]) / 2)
    assert found["masked"] == 0.5


@pytest.mark.parametrize("value", [False, True])
def test_a_region_without_pixels_has_no_score(value):
    picture = np.zeros((3, 3, 3), np.uint8)
    found = region_scores(picture, picture, picture, np.full((3, 3), value), lab=True)
    assert ("psnr_inside" in found) is value
    assert ("lab_outside" in found) is not value


def test_lab_is_averaged_over_pixels_and_psnr_over_pictures(evaluation):
    one = {"masked": 0.25, "psnr_inside": 20.0, "lab_inside": 10.0, "lab_all": 1.0}
    two = {"masked": 0.75, "psnr_inside": 30.0, "lab_inside": 2.0, "lab_all": 3.0}
    means = evaluation([one, two]).region_means()
    assert means["psnr_inside"] == 25
    assert means["lab_inside"] == pytest.approx((10 + 2 * 3) / 4)
    assert means["lab_all"] == 2


@pytest.fixture
def evaluation():
    from drcnet_cli.evaluation.results import Evaluation, Setting
    from drcnet_cli.tasks import Protocol

    def make(regions):
        setting = Setting("c", "0", "cpu", "float32", "", False, "1", "2")
        images = tuple(ImageScore("n", 8, 8, 1, 1, 1, 1, 1, regions=item) for item in regions)
        return Evaluation("", "t", "deshadow", Protocol(lab=True), setting, images, None)

    return make


def test_tables_say_it(evaluation):
    from drcnet_cli.evaluation.tables import describe_regions, further_scores, to_csv

    scores = {"masked": 0.5, "kept_outside": 60.0}
    for part in ("inside", "outside", "all"):
        for start in ("", "input_"):
            scores |= {f"{start}lab_{part}": 5.0, f"{start}psnr_{part}": 31.0}
    measured = evaluation([scores])
    said = describe_regions(measured)
    assert "31.00 (31.00) dB" in said and "5.00 (5.00) in the shadow" in said
    assert further_scores(measured) == [said]
    assert "lab_all" in to_csv([measured]).splitlines()[0]
    assert describe_regions(evaluation([{}])) == ""
    # Masks that cover their whole pictures leave nothing outside.
    all_masked = {name: value for name, value in scores.items() if "outside" not in name}
    assert "outside - (-) dB" in describe_regions(evaluation([all_masked]))


def test_shadow_sets_are_tabled_beside_the_papers_figures_in_lab(evaluation):
    from dataclasses import replace

    from drcnet_cli.evaluation.tables import RMSE_HEADER, score_table

    scores = {"masked": 0.5}
    for place, part in enumerate(("inside", "outside", "all")):
        scores |= {f"lab_{part}": 5.0 + place, f"input_lab_{part}": 30.0 - place}
    measured = replace(evaluation([scores]), benchmark="istd")
    table = score_table(measured, "ISTD")
    column = table.header.index(RMSE_HEADER)
    shown = {row[0]: row[column] for row in table.rows}
    assert shown["input"] == "30.00 / 29.00 / 28.00"
    assert shown["SPAIR (2021)"] == "8.05 / 5.47 / 5.88"
    assert shown["c"] == "5.00 / 6.00 / 7.00"
    assert RMSE_HEADER not in score_table(evaluation([{}]), "").header


def test_raindrop_metrics_against_loops():
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 256, (2, 12, 10, 3), dtype=np.uint8)
    luma = [np.floor(x @ np.array([0.299, 0.587, 0.114]) + 0.5) for x in (one, two)]
    error = np.mean((luma[0] - luma[1]) ** 2)
    assert psnr(one, two, channel="yfull8") == pytest.approx(10 * math.log10(255**2 / error))
    values = []
    for row in range(6):
        for column in range(4):
            a, b = (x[row : row + 7, column : column + 7].ravel() for x in luma)
            (va, cov), (_, vb) = np.cov(a, b)
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            top = (2 * a.mean() * b.mean() + c1) * (2 * cov + c2)
            values.append(top / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (va + vb + c2)))
    found = ssim(one, two, channel="yfull8", variant="uniform")
    assert found == pytest.approx(np.mean(values), abs=1e-9)
