"""published.json: plausible, resolved and consistent, and read as it stands."""

import json
import statistics
from collections import Counter
from pathlib import Path

import pytest

from drcnet_cli.datasets.evaluation_sets import GROUPS, TEST_SETS
from drcnet_cli.errors import DrcnetError
from drcnet_cli.evaluation import published as module
from drcnet_cli.evaluation.published import (
    paper_score,
    published_benchmarks,
    published_for,
    remark,
    sources,
)

DOCUMENT = json.loads((Path(module.__file__).parent / "published.json").read_text(encoding="utf-8"))
SCORES = [score for key in published_benchmarks() for score in published_for(key)]
# Beside the measured sets: the mean of the rain sets, and AirNet's own protocol.
EXTRA = {"rain-average", "rain100l-rgb"}


def row(benchmark, method):
    """The one score of a method."""
    (score,) = (score for score in published_for(benchmark) if score.method == method)
    return score.psnr, score.ssim


def test_ranges_are_plausible():
    assert len(SCORES) > 200
    for score in SCORES:
        assert score.psnr is not None or score.ssim is not None, score
        assert score.psnr is None or 14 <= score.psnr <= 41, score
        assert score.ssim is None or 0.48 <= score.ssim <= 0.99, score
        assert 2000 <= score.year <= 2025, score


def test_figures_have_the_printed_digits():
    for score in SCORES:
        assert score.psnr is None or round(score.psnr, 2) == score.psnr, score
        assert score.ssim is None or round(score.ssim, 3) == score.ssim, score


def test_a_method_stands_once_in_a_benchmark():
    counts = Counter((score.benchmark, score.method) for score in SCORES)
    assert [key for key, count in counts.items() if count > 1] == []


def test_benchmarks_are_known():
    assert set(published_benchmarks()) <= set(TEST_SETS) | EXTRA
    assert set(GROUPS["rain"]) <= set(published_benchmarks())


def test_best_psnr_is_last():
    for key in published_benchmarks():
        known = [score.psnr for score in published_for(key) if score.psnr is not None]
        assert known == sorted(known), key
        assert published_for(key)[-1].psnr is not None or not known, key


def test_sources_are_resolved_and_used():
    tables = DOCUMENT["tables"]
    cited = {table["source"] for table in tables} | {
        table["via"][0] for table in tables if table["via"]
    }
    assert cited == set(sources())
    labels = tuple(source.label for source in sources().values())
    assert len(set(labels)) == len(labels)
    for score in SCORES:
        assert score.source.startswith(labels), score
        assert score.via is None or score.via.startswith(labels), score


def test_every_source_is_a_full_citation():
    for key, source in sources().items():
        assert all((source.label, source.authors, source.title, source.venue)), key
        assert source.identifier, key
        assert "http" not in source.identifier, key


def test_every_table_says_where_it_was_read():
    for table in DOCUMENT["tables"]:
        assert table["read"], table["source"]
        for method, cells in table["rows"].items():
            assert len(cells) == len(table["benchmarks"]), method


def test_years_are_those_of_methods_that_stand_here():
    methods = {method for table in DOCUMENT["tables"] for method in table["rows"]}
    assert set(DOCUMENT["years"]) == methods


def test_rain_averages_are_the_means_of_the_five():
    averages = {score.method: score for score in published_for("rain-average")}
    assert len(averages) > 10
    for method, average in averages.items():
        psnr, ssim = zip(*(row(key, method) for key in GROUPS["rain"]), strict=True)
        # Some are cut rather than rounded, and SPAIR's is 0.012 dB below its mean.
        assert statistics.mean(psnr) == pytest.approx(average.psnr, abs=0.0125), method
        assert statistics.mean(ssim) == pytest.approx(average.ssim, abs=0.001), method


@pytest.mark.parametrize(
    ("benchmark", "method", "expected"),
    [
        ("test100", "SPAIR", (30.35, 0.909)),
        ("rain100h", "HINet", (30.65, 0.894)),
        ("rain100l", "PReNet", (32.44, 0.950)),
        ("sidd", "MPRNet", (39.71, 0.958)),
        ("dnd", "CycleISP", (39.56, 0.956)),
        ("gopro", "DeblurGAN-v2", (29.55, 0.934)),
        ("hide", "SPAIR", (30.29, 0.931)),
        ("realblur-j", "MPRNet", (28.70, 0.873)),
        ("realblur-r", "Restormer", (36.19, 0.957)),
        ("cbsd68-25", "AirNet", (31.48, 0.893)),
        ("urban100-50", "DRUNet", (29.61, None)),
        ("rain100l-rgb", "AirNet", (34.90, 0.977)),
        ("sots-outdoor", "AirNet", (23.18, 0.900)),
        ("sots-outdoor", "AirNet (all in one)", (27.94, 0.962)),
        ("sots-outdoor", "FDGAN", (23.15, 0.921)),
        ("sots-outdoor", "MPRNet (all in one)", (25.28, 0.955)),
    ],
)
def test_cells_of_each_table(benchmark, method, expected):
    assert row(benchmark, method) == expected


def test_what_is_known_of_the_paper():
    rain = paper_score("rain100l")
    assert rain is not None
    assert (rain.psnr, rain.ssim, rain.year) == (38.23, None, 2022)
    assert rain.source == "DRCNet, Table 1"
    assert rain.via == "this project's plan"
    noise = paper_score("sidd")
    assert noise is not None
    assert (noise.psnr, noise.ssim) == (None, 0.972)
    assert published_for("sidd")[0] == noise
    assert paper_score("gopro") is None


def test_nothing_for_unpublished_and_unknown_benchmarks():
    assert published_for("polyu") == ()
    assert paper_score("nonesuch") is None
    assert remark("nonesuch") == ""


def test_each_benchmark_has_one_remark():
    noted = [key for note in DOCUMENT["remarks"] for key in note["benchmarks"]]
    assert sorted(noted) == sorted(published_benchmarks())
    assert "3d" in remark("sidd")


@pytest.fixture
def fresh(monkeypatch):
    """Read the file again, here and afterwards."""
    readers = (module._document, module._scores, module.sources)

    def clear():
        for reader in readers:
            reader.cache_clear()

    clear()
    yield monkeypatch
    clear()


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe"])
def test_a_damaged_file_is_named(fresh, tmp_path, content):
    file = tmp_path / "published.json"
    if content is not None:
        file.write_bytes(content)
    fresh.setattr(module, "_FILE", file)
    with pytest.raises(DrcnetError, match=r"published\.json"):
        published_for("sidd")
