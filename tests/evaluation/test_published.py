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
    PublishedScore,
    paper_score,
    published_benchmarks,
    published_for,
    remark,
    sources,
)
from drcnet_cli.evaluation.results import dssim_reduction, rmse_reduction

DOCUMENT = json.loads((Path(module.__file__).parent / "published.json").read_text(encoding="utf-8"))
SCORES = [score for key in published_benchmarks() for score in published_for(key, studies=True)]
# Beside the measured sets: means over several, other protocols for a set that is measured, sets
# whose pictures nobody gives away, and sets that are measured by what is restored in them.
EXTRA = {"rain-average", "airnet-average", "rain100h-own", "realblur-j-own"}


def score(benchmark, method) -> PublishedScore:
    """The one score of a method."""
    known = published_for(benchmark, studies=True)
    (found,) = (score for score in known if score.method == method)
    return found


def row(benchmark, method):
    """A method's PSNR and SSIM."""
    return score(benchmark, method).psnr, score(benchmark, method).ssim


def cells(name):
    """All that the tables hold under a name: what is shown, or what is set aside."""
    for table in DOCUMENT["tables"]:
        for method, row in table.get(name, {}).items():
            for benchmark, cell in zip(table["benchmarks"], row, strict=True):
                if cell is not None:
                    yield table, benchmark, method, cell


def test_ranges_are_plausible():
    assert len(SCORES) > 450
    for score in SCORES:
        assert score.psnr is not None or score.ssim is not None or score.rmse, score
        assert score.psnr is None or 13.5 <= score.psnr <= 44.5, score
        assert score.ssim is None or 0.3 <= score.ssim <= 0.99, score
        assert 2000 <= score.year <= 2025, score


def test_figures_have_the_printed_digits():
    for score in SCORES:
        # FDR-Net's paper prints four decimals of PSNR in its table 2.
        digits = 4 if score.benchmark == "did-hy" else 2
        assert score.psnr is None or round(score.psnr, digits) == score.psnr, score
        assert score.ssim is None or round(score.ssim, 4) == score.ssim, score
        assert score.rmse is None or all(round(x, 2) == x for x in score.rmse), score


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
    errors = [score.rmse[-1] for score in published_for("istd")]
    assert errors == sorted(errors, reverse=True)


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
    methods = {method for name in ("rows", "set_aside") for _, _, method, _ in cells(name)}
    assert set(DOCUMENT["years"]) == methods
    for method, year in DOCUMENT["years"].items():
        alone = method.split(" (")[0]
        assert DOCUMENT["years"].get(alone, year) == year, method


def test_printed_averages_are_the_means_of_their_cells():
    for group, members in ((name, GROUPS[name]) for name in ("rain", "airnet")):
        averages = {score.method: score for score in published_for(f"{group}-average")}
        assert len(averages) > 10
        for method, average in averages.items():
            psnr, ssim = zip(*(row(key, method) for key in members), strict=True)
            # Some are cut rather than rounded, and SPAIR's is 0.012 dB below its mean.
            if average.psnr is not None:
                assert statistics.mean(psnr) == pytest.approx(average.psnr, abs=0.0125), method
            digits = 1.0e-3 if group == "rain" else 1.0e-4
            assert statistics.mean(ssim) == pytest.approx(average.ssim, abs=digits), method


def test_the_one_average_that_is_no_mean_is_set_aside():
    aside = [cell for _, key, _, cell in cells("set_aside") if key == "airnet-average"]
    assert aside == [[30.30, 0.8937]]
    assert statistics.mean(row(key, "BRDNet")[0] for key in GROUPS["airnet"]) == pytest.approx(
        30.03
    )


@pytest.mark.parametrize("of", ["rain-average", "sidd"])
def test_printed_reductions_of_error_follow_from_the_figures(of):
    checked = 0
    for table in DOCUMENT["tables"]:
        printed = table.get("reductions", {"benchmark": None})
        if printed["benchmark"] != of:
            continue
        than = row(of, printed["than"])
        if of == "rain-average" and printed["than"] == "DRCNet":  # of its unrounded average
            than = (statistics.mean(row(key, "DRCNet")[0] for key in GROUPS["rain"]), None)
        for method, (psnr, ssim) in printed["rows"].items():
            if (method, psnr) == ("MSPFN", 21.9):  # the one that SPAIR's paper has of its own
                than = row(of, "SPAIR")[0], than[1]
            other = row(of, method)
            assert rmse_reduction(than[0], other[0]) == pytest.approx(psnr, abs=0.15), method
            if ssim is not None:
                assert dssim_reduction(than[1], other[1]) == pytest.approx(ssim, abs=0.06), method
            checked += 1
    assert checked >= 12


def test_what_is_set_aside_differs_from_what_is_shown():
    aside = list(cells("set_aside"))
    assert len(aside) == 8
    for table, benchmark, method, cell in aside:
        shown = [score for score in published_for(benchmark) if score.method == method]
        assert [[score.psnr, score.ssim] for score in shown] != [cell], (table["table"], method)


def test_a_whole_shadow_picture_lies_between_its_two_regions():
    for score in published_for("istd"):
        shadow, rest, whole = score.rmse
        assert rest < whole < shadow
        # The shadows' share of the pictures, the same whatever the method.
        assert 0.13 < (whole - rest) / (shadow - rest) < 0.24, score


def test_methods_taken_apart_are_shown_only_if_asked_for():
    assert all(not score.study for key in published_benchmarks() for score in published_for(key))
    assert row("cbsd68-50", "AirNet (noise, rain)") == (28.19, 0.8042)
    assert row("gopro", "SPAIR (Net3: and SC)") == (31.62, None)


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
        ("cbsd68-25", "AirNet", (31.48, 0.8928)),
        ("cbsd68-25", "AirNet (all in one)", (31.26, 0.8884)),
        ("urban100-50", "DRUNet", (29.61, None)),
        # PromptIR prints 0.977; AirNet's own paper has this in two tables.
        ("rain100l-rgb", "AirNet", (34.90, 0.966)),
        ("rain100l-rgb", "MPRNet (all in one)", (33.57, 0.9542)),
        ("sots-outdoor", "AirNet", (23.18, 0.9)),
        ("sots-outdoor", "AirNet (all in one)", (27.94, 0.9615)),
        ("sots-outdoor", "FDGAN", (23.15, 0.9207)),
        ("sots-outdoor", "MPRNet (all in one)", (25.28, 0.9545)),
        ("airnet-average", "AirNet (all in one)", (31.20, 0.9095)),
        ("cbsd68-varying", "AirNet", (31.42, 0.8922)),
        ("urban100-15", "AirNet (without DCN)", (34.21, 0.9467)),
        ("rain100l", "DRCNet", (38.23, 0.976)),
        ("sidd", "RIDNet", (38.71, 0.951)),
        ("hide", "RADN", (29.68, 0.927)),
        ("realblur-j-own", "SRN", (31.38, None)),
        ("test1200", "OWAN (rain and raindrops)", (30.09, 0.872)),
        ("spanet", "JORDER-E", (40.78, None)),
        ("rain100h-own", "DSC (Luo et al.)", (13.77, 0.3199)),
        ("raindrop-a", "Quan et al.", (31.44, 0.9263)),
        ("rlrestore-severe", "FDR-Net", (26.05, 0.6218)),
        ("did-hy", "OWAN", (23.1768, 0.6269)),
        ("did-mdn", "SPANet", (30.05, 0.934)),
        ("gopro", "FDR-Net", (30.55, 0.938)),
        ("gopro", "SRN", (30.26, 0.934)),
    ],
)
def test_cells_of_each_table(benchmark, method, expected):
    assert row(benchmark, method) == expected


def test_shadows_are_measured_in_lab():
    assert score("istd", "SPAIR").rmse == (8.05, 5.47, 5.88)


@pytest.mark.parametrize(
    ("benchmark", "psnr", "ssim"),
    [
        ("rain100l", 38.23, 0.976),
        ("rain-average", 33.73, 0.933),
        ("sidd", 40.08, 0.972),
        ("dnd", 39.85, 0.956),
        ("gopro", 32.76, 0.961),
        ("hide", 30.97, 0.941),
        ("realblur-j", 28.86, 0.883),
    ],
)
def test_the_paper_itself(benchmark, psnr, ssim):
    found = paper_score(benchmark)
    assert found is not None
    assert (found.psnr, found.ssim, found.year, found.via) == (psnr, ssim, 2022, None)
    assert found.source.startswith("DRCNet, Table ")


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
