"""Pages in a real browser: the slider works, and nothing leaves or disturbs the page."""

import numpy as np
import pytest
from browser import CHROMIUM, DRIVER, MISSING, Browser, browsing
from conftest import photograph

from drcnet_cli.report.blocks import Comparison, Facts, Histogram, Section, Table
from drcnet_cli.report.html import write_page

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING)

ARROW_LEFT, ARROW_RIGHT, ARROW_DOWN = "\ue012", "\ue014", "\ue015"
HOME, END, SHIFT = "\ue011", "\ue010", "\ue008"
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\n\"a\".png"
# Flat colours, so that a screenshot's pixels say which picture they are of.
COLOURS = {"before": (200, 40, 40), "after": (40, 160, 40), "target": (40, 40, 200)}
WIDTH, HEIGHT = 400, 240


def flat(part: str):
    return np.full((HEIGHT, WIDTH, 3), COLOURS[part], np.uint8)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Write a page with every block: three pictures, two, one, and scaled ones."""
    path = tmp_path_factory.mktemp("pages") / "a page & more.html"
    big = photograph(400, 1500)
    labels = ("Rainy", "Restored", "True")
    write_page(
        path,
        HOSTILE,
        [
            Section("Section", HOSTILE),
            Comparison("three", "", *map(flat, COLOURS), labels, {"PSNR": "1 dB"}),
            Comparison(HOSTILE, HOSTILE, flat("before"), flat("after"), None, (HOSTILE, "B")),
            Comparison("one", "", None, flat("after"), None),
            Comparison("big", "", big, 255 - big, None),
            Table("Table", ["Name", "dB"], [[HOSTILE, "1.00"]]),
            Histogram("Gains", [1.0, 2.0, -1.0], "dB"),
            Facts("Facts", [("File", HOSTILE)]),
        ],
        subtitle=HOSTILE,
        max_side=1000,
    )
    return path


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """Start one browser for all tests of this module."""
    with browsing(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(window, page):
    """Return the browser with the page freshly opened, wide and light."""
    window.resize(1000, 800)
    window.open(page)
    yield window
    assert window.console() == []
    assert {address.split(":", 1)[0] for address in window.requests()} <= {"file", "data"}


def split(browser: Browser, viewer: int = 0) -> float:
    return browser.run(
        "const stage = document.querySelectorAll('.pictures')[arguments[0]];"
        "return parseFloat(stage.style.getPropertyValue('--split'))",
        viewer,
    )


def value(browser: Browser, attribute: str = "aria-valuenow") -> str:
    return browser.run(
        "return document.querySelector('.handle').getAttribute(arguments[0])", attribute
    )


def stage(browser: Browser) -> tuple[float, float, float, float]:
    """Scroll the first stage into view; give its left, top, width and height."""
    return tuple(
        browser.run(
            "const stage = document.querySelector('.pictures');"
            "stage.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const box = stage.getBoundingClientRect();"
            "return [box.left, box.top, box.width, box.height]"
        )
    )


def shown(browser: Browser, across: float) -> str:
    """Name the picture of which a pixel is on the screen, a quarter down the first stage."""
    left, top, width, height = stage(browser)
    seen = browser.pixel(left + across * width, top + height / 4)
    return min(
        COLOURS, key=lambda part: sum(abs(a - b) for a, b in zip(COLOURS[part], seen, strict=True))
    )


def test_opening_the_page_is_quiet_and_its_names_are_only_names(browser):
    assert browser.run("return window.hacked") is None
    assert browser.run("return document.querySelector('h1').textContent") == HOSTILE
    assert browser.run("return document.title").startswith("<script>window.hacked")
    assert browser.run("return [...document.images].every((image) => image.naturalWidth > 0)")
    assert browser.run("return document.querySelectorAll('.sliding').length") == 4


def test_the_policy_stops_what_would_leave_the_page(browser):
    refused = browser.run(
        "return new Promise((resolve) => {"
        "document.addEventListener('securitypolicyviolation', (e) => resolve(e.blockedURI));"
        "new Image().src = 'https://example.invalid/seen.png'; setTimeout(resolve, 5000, ''); })"
    )
    assert refused == "https://example.invalid/seen.png"
    assert refused in browser.requests()  # which shows that the log would tell
    assert all("Content Security Policy" in message for message in browser.console())


@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_the_divider_follows_the_pointer(browser, kind):
    left, top, width, height = stage(browser)
    assert (shown(browser, 0.4), shown(browser, 0.6)) == ("before", "after")
    middle = top + height / 2
    browser.drag((left + width / 2, middle), (left + width / 4, middle), kind)
    assert split(browser) == pytest.approx(25, abs=0.5)
    assert value(browser) == "25"
    assert (shown(browser, 0.2), shown(browser, 0.4)) == ("before", "after")
    # It stays within the picture wherever the pointer goes.
    browser.drag((left + width / 4, middle), (left + width + 30, middle), kind)
    assert split(browser) == 100


def test_a_click_anywhere_moves_the_divider_there(browser):
    left, top, width, height = stage(browser)
    place = (left + width * 0.8, top + height / 3)
    browser.drag(place, place, "mouse")
    assert split(browser) == pytest.approx(80, abs=0.5)
    assert split(browser, 1) == 50  # the other sliders stay


def test_the_divider_follows_the_keys_and_says_where_it_is(browser):
    for keys, expected in [
        (ARROW_RIGHT, "51"),
        (ARROW_LEFT + ARROW_DOWN, "49"),
        (SHIFT + ARROW_RIGHT, "59"),
        (HOME, "0"),
        (ARROW_LEFT, "0"),
        (END, "100"),
    ]:
        browser.press(".handle", keys)
        assert value(browser) == expected
    assert value(browser, "aria-valuetext") == "100 % Rainy, 0 % Restored"
    assert [value(browser, name) for name in ("role", "aria-valuemin", "aria-valuemax")] == [
        "slider",
        "0",
        "100",
    ]
    assert value(browser, "aria-label")


def choose(browser: Browser, side: int, part: str) -> None:
    browser.run(
        "const choice = document.querySelectorAll('.sides select')[arguments[0]];"
        "choice.value = arguments[1]; choice.dispatchEvent(new Event('change'))",
        side,
        part,
    )


def test_any_two_of_the_three_pictures_can_be_compared(browser):
    choose(browser, 0, "target")
    assert (shown(browser, 0.4), shown(browser, 0.6)) == ("target", "after")
    choose(browser, 1, "target")  # what the other side shows: they change places
    assert (shown(browser, 0.4), shown(browser, 0.6)) == ("after", "target")
    assert value(browser, "aria-valuetext") == "50 % Restored, 50 % True"
    assert browser.run(
        "return [...document.querySelectorAll('.sides select')].map((choice) => choice.value)"
    ) == ["after", "target"]


def test_the_error_map_covers_both_sides_and_explains_itself(browser):
    def state():
        return browser.run(
            "return [[...document.querySelectorAll('.viewer')[0].querySelectorAll('figure')]"
            ".filter((figure) => getComputedStyle(figure).visibility === 'visible')"
            ".map((figure) => figure.className + ' ' + figure.dataset.part),"
            "getComputedStyle(document.querySelector('.legend')).display !== 'none',"
            "document.querySelector('.tools > button').getAttribute('aria-pressed')]"
        )

    assert state() == [["left before", "right after"], False, "false"]
    browser.click(".tools > button")
    assert state() == [["map left before", "map right after"], True, "true"]
    assert "True" in browser.run("return document.querySelector('.legend').textContent")
    browser.click(".tools > button")
    assert state()[1:] == [False, "false"]


def test_zooming_shows_pixels_and_the_picture_can_be_moved(browser):
    def box():
        return browser.run(
            "const image = document.querySelector('.pictures .left img');"
            "const box = image.getBoundingClientRect();"
            "return [box.left, box.top, box.width, getComputedStyle(image).imageRendering]"
        )

    browser.click(".zooms button:nth-child(2)")
    assert box()[2:] == [WIDTH, "pixelated"]
    browser.click(".zooms button:nth-child(3)")
    left, top, width, height = stage(browser)
    x, y, shown_width, _ = box()
    assert shown_width == 4 * WIDTH
    assert x + 2 * WIDTH == pytest.approx(left + width / 2, abs=1)  # the centre stays
    browser.drag((left + 50, top + 60), (left + 20, top + 80), "mouse")
    assert box()[:2] == pytest.approx([x - 30, y + 20], abs=1)
    assert split(browser) == 50
    browser.press(".pictures", ARROW_RIGHT)
    assert box()[0] == pytest.approx(x - 78, abs=1)
    # No further than its edge; and the divider can still be dragged by its handle.
    for _ in range(3):
        browser.drag((left + 50, top + 60), (left + width - 5, top + 60), "mouse")
    assert box()[0] == pytest.approx(left, abs=1)
    middle = (left + width / 2, top + height / 2)
    browser.drag(middle, (left + width / 4, middle[1]), "mouse")
    assert split(browser) == pytest.approx(25, abs=0.5)
    browser.click(".zooms button:nth-child(1)")
    assert box()[2] == pytest.approx(width, abs=1)


def test_a_phone_shows_it_all_without_sideways_scrolling(browser):
    for dark in (False, True):
        browser.resize(390, 844, dark=dark)
        assert browser.run("return document.documentElement.scrollWidth") == 390
        assert browser.run("return document.querySelector('.pictures').clientWidth") > 300
        ground = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground[4:-1].split(","))) < 200) == dark


def test_on_paper_the_pictures_stand_side_by_side(browser):
    browser.click(".zooms button:nth-child(3)")
    browser.devtools("Emulation.setEmulatedMedia", media="print")
    tops, visible, tools = browser.run(
        "const figures = [...document.querySelectorAll('.pictures')[0].children]"
        ".filter((child) => child.tagName === 'FIGURE');"
        "return [figures.map((figure) => figure.getBoundingClientRect().top),"
        "figures.every((figure) => getComputedStyle(figure).visibility === 'visible'"
        " && getComputedStyle(figure).clipPath === 'none'"
        " && getComputedStyle(figure.querySelector('figcaption')).display !== 'none'),"
        "getComputedStyle(document.querySelector('.tools')).display]"
    )
    browser.devtools("Emulation.setEmulatedMedia", media="")
    assert tops[0] == tops[1] and visible and tools == "none"


def test_without_scripts_the_pictures_stand_side_by_side(page, tmp_path):
    with browsing(tmp_path, scripts=False) as browser:
        browser.resize(1000, 800)
        browser.open(page)
        boxes, handles = browser.run(
            "return [[...document.querySelector('.pictures').querySelectorAll('figure')]"
            ".map((figure) => { const box = figure.getBoundingClientRect();"
            "return [box.left, box.top, box.width]; }),"
            "document.querySelectorAll('.handle, .tools').length]"
        )
        assert handles == 0
        assert len(boxes) == 5
        assert boxes[0][1] == boxes[1][1] and boxes[0][0] + boxes[0][2] <= boxes[1][0]
