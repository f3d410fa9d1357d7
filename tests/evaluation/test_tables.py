"""Evaluations as tables: what stands beside ours, and what may not."""

import csv
import io
from dataclasses import replace

import pytest
from score_helpers import evaluation, image

from drcnet_cli.datasets.evaluation_sets import GROUPS, TEST_SETS
from drcnet_cli.errors import UsageError
from drcnet_cli.evaluation import published
from drcnet_cli.evaluation import tables as scores
from drcnet_cli.evaluation.tables import BEGIN, END, check_marked, write_marked
from drcnet_cli.tasks import Protocol


def test_the_input_comes_first_ours_last_and_the_published_between():
    rows = scores.rows(evaluation(image("a", 38.0)))
    assert rows[0].method == "input"
    assert rows[-1].ours
    known = published.published_for("rain100l")
    assert [row.psnr for row in rows[1:-1]] == [score.psnr for score in known]
    assert len(known) > 5
    paper = next(row for row in rows if row.method.startswith("DRCNet"))
    assert paper.cells()[1] == "38.23"
    # 38.0 dB is a little worse than the paper's 38.23, and far better than the input's 20.
    assert paper.reductions[0] == pytest.approx(100 * (1 - 10 ** (0.23 / 20)))
    assert rows[0].reductions[0] == pytest.approx(100 * (1 - 10 ** (-18 / 20)))


def test_a_part_of_a_set_stands_alone_and_says_so():
    measured = evaluation(image("a", 38.0), expected=100)
    assert [row.method for row in scores.rows(measured)] == ["input", "net"]
    assert any("not comparable" in remark for remark in scores.remarks(measured))
    assert scores.overview([measured])[0][-1] == scores.NO_VALUE
    assert scores.to_record(measured)["published"] == []


def test_an_ssim_of_another_kind_is_shown_but_not_compared():
    rows = scores.rows(evaluation(image("a", 31.0), benchmark="cbsd68-25"))
    other = next(row for row in rows if row.method.startswith("AirNet"))
    assert other.ssim is not None
    assert other.reductions[0] is not None
    assert other.reductions[1] is None


def test_published_ssim_has_the_digits_of_its_table():
    rows = scores.rows(evaluation(image("a", 31.0), benchmark="cbsd68-25"))
    shown = {row.method: row.cells()[2] for row in rows}
    assert shown["AirNet (2022)"] == "0.8928"
    rows = scores.rows(evaluation(image("a", 31.0)))
    assert {row.method: row.cells()[2] for row in rows}["DRCNet (2022)"] == "0.976"


def test_averages_need_every_set_of_the_group():
    measured = [
        evaluation(image("a", 30.0 + n), benchmark=name, title=TEST_SETS[name].title)
        for n, name in enumerate(GROUPS["rain"])
    ]
    assert not list(scores.average_rows(measured[1:]))
    assert not list(scores.average_rows([*measured[1:], replace(measured[0], expected=2)]))
    ((title, rows),) = scores.average_rows(measured)
    assert all(TEST_SETS[name].title in title for name in GROUPS["rain"])
    assert rows[-1].psnr == pytest.approx(32)
    assert [row.psnr for row in rows[1:-1]] == [
        score.psnr for score in published.published_for("rain-average")
    ]


def test_csv_has_a_line_a_picture_whatever_its_name():
    name = 'a,"b"\nc.png'
    lines = list(csv.DictReader(io.StringIO(scores.to_csv([evaluation(image(name, 30.0))]))))
    assert lines[0]["name"] == name
    assert float(lines[0]["psnr"]) == 30.0
    assert lines[0]["dataset"] == "rain100l"


def test_markdown_names_command_checkpoint_and_protocol():
    measured = evaluation(image("a", 30.0), protocol=Protocol("y", "y", "replicate"), title="R|L")
    text = scores.to_markdown([measured], "drcnet eval -d rain100l")
    assert "`drcnet eval -d rain100l`" in text
    assert "R\\|L" in text
    assert "SSIM Y (replicate)" in text
    assert "0" * 64 in text
    widths = {line.count("|") for line in text.split("## ")[1].splitlines() if line[:1] == "|"}
    assert len(widths) == 1


def test_pages_name_the_pictures_that_failed():
    measured = evaluation(image("a", 30.0), failed=("b.png: It is cut off.", "c.png: Too large."))
    text = scores.to_markdown([measured], "drcnet eval -d rain100l")
    said = "2 of 3 pictures could not be measured: b.png: It is cut off; c.png: Too large."
    assert text.count(said) == 1
    assert "| net | 1 of 3 |" in text
    assert scores.failures(evaluation(image("a", 30.0))) == []


def test_a_page_s_own_text_stays_around_the_marks(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        write_marked(page, "new\n", "whole\n")
        assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    page.write_text(f"{BEGIN} but no end\n", encoding="utf-8")
    write_marked(page, "part\n", "all\n")
    assert page.read_text(encoding="utf-8") == "all\n"


def test_a_page_that_was_written_before_or_has_the_marks_may_be_written(tmp_path):
    page = tmp_path / "scores.md"
    check_marked(page)
    text = scores.to_markdown([evaluation(image("a", 30.0))], "drcnet eval -d rain100l")
    for whole in ("", text, f"# Mine\n{BEGIN}\n{END}\n"):
        page.write_text(whole, encoding="utf-8")
        check_marked(page)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p0.png", None, "FILE.md"),
        ("folder.md", None, "is a folder"),
        ("latin.md", "# Gr\xf6\xdfe\n".encode("latin-1"), "UTF-8"),
        ("notes.md", b"# Scores\nof my own\n", "put the marks in"),
        ("half.md", BEGIN.encode(), "put the marks in"),
    ],
)
def test_any_other_page_is_refused(tmp_path, name, content, said):
    (tmp_path / "folder.md").mkdir()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as error:
        check_marked(tmp_path / name)
    assert said in str(error.value)
