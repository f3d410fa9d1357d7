"""Pages: safe, complete in themselves, and whole or absent."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import photograph

from drcnet_cli.errors import ReportError, UsageError
from drcnet_cli.report.blocks import Comparison, Facts, Histogram, Section, Table
from drcnet_cli.report.html import check_page_path, render_page, write_page

HOSTILE = "\"><script>alert(1)</script>\n'&amp;<!-- blocks --> $title \u202e\udcff\x1b.png"
EMPTY = {"meta", "link", "img"}


class Reader(HTMLParser):
    """Collects tags and texts, and insists that every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def compared(name: str = "a.png", *, target: bool = True, side: int = 24) -> Comparison:
    before, after, clean = (photograph(side, side + 8, seed) for seed in range(3))
    return Comparison(name, "", before, after, clean if target else None)


def everything(name: str) -> list:
    labels = (name, name + "2", name + "3")
    pictures = [photograph(16, 20, seed) for seed in range(3)]
    return [
        Section(name, name),
        Comparison(name, name, *pictures, labels, {name: name}),
        Table(name, [name, name], [[name, name]], name, [0]),
        Histogram(name, [1.0, -1.0], name, name),
        Facts(name, [(name, name)]),
    ]


def test_hostile_texts_stay_texts_wherever_they_stand():
    page = render_page(HOSTILE, everything(HOSTILE), subtitle=HOSTILE)
    plain = render_page("x", everything("x"), subtitle="x")
    read, expected = Reader(page), Reader(plain)
    assert [tag for tag, _ in read.tags] == [tag for tag, _ in expected.tags]
    # Nor do they add an attribute.
    assert [sorted(a) for _, a in read.tags] == [sorted(a) for _, a in expected.tags]
    assert "<script>alert" not in page
    shown = HOSTILE.replace("\udcff", "\\udcff").replace("\x1b", "\\x1b")
    assert read.texts.count(shown) >= 12
    page.encode("utf-8")


def test_the_policy_allows_this_style_and_this_script_and_nothing_else():
    page = render_page("t", [compared()])
    policy = next(
        tag["content"]
        for tag in Reader(page).attributes("meta")
        if tag.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for tag in ("style", "script"):
        [source] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert rules.pop(f"{tag}-src") == f"'sha256-{digest}'"
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_page_refers_to_nothing_outside_itself():
    read = Reader(render_page("t", everything("a")))
    for _, attributes in read.tags:
        assert not {"style", "onclick", "onload", "xlink:href"} & set(attributes)
        for name in ("src", "href", "srcset", "data"):
            assert attributes.get(name, "data:").startswith("data:")
    style = re.search(r"<style>(.*?)</style>", render_page("t", []), re.DOTALL)
    assert style and "url(" not in style[1] and "@import" not in style[1]


def test_pictures_stand_side_by_side_with_labels_for_readers_without_scripts():
    read = Reader(render_page("t", [compared("rain.png")]))
    images = read.attributes("img")
    assert [image["alt"] for image in images] == [
        "Before: rain.png",
        "After: rain.png",
        "Target: rain.png",
        "Differences of Before: rain.png",
        "Differences of After: rain.png",
    ]
    assert all((image["width"], image["height"]) == ("32", "24") for image in images)
    assert "32 × 24 pixels" in read.texts


def test_without_a_target_the_map_shows_what_was_changed():
    read = Reader(render_page("t", [compared(target=False)]))
    assert [tag["data-map"] for tag in read.attributes("div") if "data-map" in tag] == [
        "Map of changes"
    ]
    assert read.count("img") == 3


def test_a_lone_picture_is_shown_without_maps():
    read = Reader(render_page("t", [Comparison("a", "", None, photograph(9, 9), None)]))
    assert read.count("img") == 1


def test_large_pictures_are_scaled_down_said_so_and_shown_in_part_as_they_are():
    after = photograph(60, 100)
    before = after.copy()
    before[40:50, 70:90] = 0
    page = render_page("t", [Comparison("a", "", before, after, None)], max_side=50)
    read = Reader(page)
    sizes = [(image["width"], image["height"]) for image in read.attributes("img")]
    assert sizes == [("50", "30")] * 3 + [("50", "50")] * 3
    assert "Scaled down: 50 × 30 of 100 × 60 pixels, compressed lossily" in read.texts
    [detail] = [text for text in read.texts if text.startswith("Unscaled")]
    left, top = map(int, re.findall(r"\d+", detail))
    assert left <= 70 and left + 50 >= 90 and top <= 40 and top + 50 >= 50


def test_headings_below_a_section_are_one_level_lower():
    def levels(blocks):
        return [tag for tag, _ in Reader(render_page("t", blocks)).tags if re.match(r"h\d", tag)]

    facts = Facts("f", [])
    assert levels([facts, facts]) == ["h1", "h2", "h2"]
    assert levels([Section("s"), facts, Section("s"), facts]) == ["h1", "h2", "h3", "h2", "h3"]


def test_columns_of_numbers_are_aligned_but_not_the_names_of_rows():
    table = Table("t", ["Name", "dB", "Note"], [["1", "31.20", "2 of 3"], ["2", "−", "x"]])
    page = render_page("t", [table])
    assert '<th scope="col" class="number">dB</th>' in page
    assert '<th scope="col">Name</th>' in page
    assert '<th scope="col">Note</th>' in page
    assert page.count('class="highlighted"') == 0


@pytest.mark.parametrize("rows", [[["only one"]], [["a", "b", "c"]]])
def test_rows_that_do_not_fit_the_header_are_refused(rows):
    with pytest.raises(ValueError):
        render_page("t", [Table("t", ["a", "b"], rows)])


@pytest.mark.parametrize(
    "pictures",
    [
        (photograph(8, 8), photograph(8, 9), None),
        (None, photograph(8, 8)[..., :1], None),
        (None, photograph(8, 8).astype(np.float32), None),
        (None, np.empty((0, 4, 3), np.uint8), None),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(pictures):
    with pytest.raises(ValueError, match="name"):
        Comparison("name", "", *pictures)


def test_labels_must_be_as_many_as_pictures():
    with pytest.raises(ValueError, match="labels"):
        Comparison("a", "", None, photograph(8, 8), None, ("one", "two"))


def test_blocks_are_drawn_one_by_one_as_they_are_made():
    drawn = []

    def blocks():
        for number in range(3):
            drawn.append(number)
            yield Facts(str(number), [])

    pieces = iter(render_page("t", blocks()).split("<section"))
    assert next(pieces)
    assert drawn == [0, 1, 2]


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new folder" / "page.html"
    write_page(path, "first", [Facts("f", [("é", "ü")])])
    before = path.read_bytes()
    assert "é".encode() in before and b"\r" not in before

    def broken():
        yield Facts("f", [])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_page(path, "second", broken())
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot be written") as error:
        write_page(tmp_path / "file" / "page.html", "t", [])
    assert "page.html" in error.value.message


@pytest.mark.parametrize("name", ["page.png", "page", "folder.html"])
def test_names_that_no_page_can_have_are_refused(tmp_path, name):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UsageError):
        check_page_path(tmp_path / name)
