"""The histogram: no value is lost, zero is an edge, and it can be read without seeing it."""

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.report.blocks import Histogram
from drcnet_cli.report.histogram import draw, find_bins, round_step, summarise

gains = st.floats(-300, 300, allow_nan=False)


@settings(deadline=None, max_examples=200)
@given(st.lists(gains, min_size=1, max_size=60))
def test_every_value_is_in_one_bin_and_no_bin_reaches_across_zero(values):
    bins = find_bins(values)
    assert sum(bins.counts.values()) == len(values)
    assert bins.first <= 0 < bins.last
    assert bins.first <= min(bins.counts) and max(bins.counts) < bins.last
    assert bins.last - bins.first <= 130
    below = sum(count for place, count in bins.counts.items() if place < 0)
    assert abs(below - sum(value < 0 for value in values)) <= sum(
        abs(value) < 1e-6 for value in values
    )


@settings(deadline=None, max_examples=100)
@given(st.lists(gains, min_size=1, max_size=30))
def test_the_drawing_is_well_formed_and_stays_within_its_frame(values):
    root = ET.fromstring(draw(Histogram("t", values, "dB"), "h"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    bars = list(root.iter("rect"))
    assert sum(int(bar[0].text.rsplit(": ", 1)[1]) for bar in bars) == len(values)
    for bar in bars:
        left, top = float(bar.attrib["x"]), float(bar.attrib["y"])
        assert left >= 0 and left + float(bar.attrib["width"]) <= width
        assert top >= 0 and top + float(bar.attrib["height"]) <= height
        assert float(bar.attrib["width"]) > 0
    [zero] = [line for line in root.iter("line") if line.attrib["class"] == "zero"]
    assert 0 <= float(zero.attrib["x1"]) <= width


def test_it_names_itself_to_screen_readers():
    root = ET.fromstring(draw(Histogram("Gains & losses", [1.5, -0.5], "dB"), "h"))
    texts = {element.attrib["id"]: element.text for element in root if "id" in element.attrib}
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"].split() == list(texts)
    assert list(texts.values()) == [
        "Gains & losses",
        "2 pictures: −0.50 to +1.50 dB, median +0.50 dB; 1 below zero.",
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "No picture to draw."),
        ([math.inf, math.nan], "No picture to draw. 2 without a finite value."),
        ([0.0], "1 picture: 0.00 dB."),
        ([2.0, 2.0, math.inf], "none below zero. 1 without a finite value."),
        ([-1.0, -2.0, -4.0], "3 pictures: −4.00 to −1.00 dB, median −2.00 dB; 3 below zero."),
    ],
)
def test_few_equal_and_missing_values(values, said):
    histogram = Histogram("t", values, "dB")
    finite = [value for value in values if math.isfinite(value)]
    assert said in summarise(histogram, finite)
    assert bool(draw(histogram, "h")) == bool(finite)


def test_losses_differ_from_gains_not_only_by_their_place():
    root = ET.fromstring(draw(Histogram("t", [-1.0, 0.0, 1.0], "dB"), "h"))
    assert [bar.attrib["class"] for bar in root.iter("rect")][0] == "loss"
    assert {bar.attrib["class"] for bar in list(root.iter("rect"))[1:]} == {"gain"}


@given(st.floats(1e-9, 1e9))
def test_steps_are_round_and_large_enough(least):
    step = round_step(least)
    assert least * (1 - 1e-6) <= step <= 2.6 * least
    mantissa = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - allowed) for allowed in (1, 2, 5, 10)) < 1e-6
