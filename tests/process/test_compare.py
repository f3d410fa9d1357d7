"""`drcnet compare` as a process, and `drcnet restore --report`."""

import json
import os
from pathlib import Path

import pytest
import typer
from conftest import photograph, save_photograph
from PIL import Image
from typer.testing import CliRunner

from drcnet_cli.cli import compare as command_module
from drcnet_cli.cli._restore_report import check_report
from drcnet_cli.errors import DrcnetError, UsageError


def run(*arguments):
    """Run the command in this process, which spares loading it; errors propagate."""
    app = typer.Typer()
    app.command()(command_module.compare)
    return CliRunner().invoke(app, [os.fspath(item) for item in arguments])


@pytest.fixture
def folders(tmp_path):
    """Make rainy, restored and clean folders of two pictures, the restored ones closer."""
    for name, noise in (("rainy", 30), ("restored", 5), ("clean", 0)):
        for seed in range(2):
            pixels = photograph(48, 64, seed).astype(int)
            pixels[::2] += noise
            path = tmp_path / name / f"{seed}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(path)
    return tmp_path


def test_a_page_is_written_and_said(drcnet, folders):
    (folders / "rainy" / "<b>odd & 'name'.png").write_bytes(b"")
    result = drcnet("compare", "rainy", "restored", "--target", "clean", "--html", "out/page.html")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert "Note: 1 in rainy without a partner, left out: <b>odd & 'name'.png." in result.stderr
    assert "Wrote out/page.html: 2 of 2 compared pictures." in result.stderr
    page = (folders / "out" / "page.html").read_text("utf-8")
    assert page.count("<figure") == 2 * 5
    assert "&lt;b&gt;odd &amp; &#x27;name&#x27;.png" in page and "<b>odd" not in page


def test_without_a_page_the_scores_are_printed(folders, monkeypatch):
    monkeypatch.chdir(folders)
    result = run("rainy", "restored", "--target", "clean")
    assert result.exit_code == 0
    assert "rainy PSNR" in result.stdout and "Mean of 2" in result.stdout
    assert "PSNR of RGB" not in result.stdout
    assert "100 dB" not in result.stderr
    assert "Equal pictures (inf) count as 100 dB" in run("clean", "clean").stderr
    alone = run("rainy", "clean", "--quiet")
    assert "Gain" not in alone.stdout and alone.stderr == ""


def test_json_is_one_value(folders, monkeypatch):
    monkeypatch.chdir(folders)
    result = run("rainy", "restored", "--target", "clean", "--json", "--labels", "a,b,c")
    found = json.loads(result.stdout)
    assert found["labels"] == ["a", "b", "c"] and found["against"] == "c"
    assert found["means"]["b"]["psnr"] > found["means"]["a"]["psnr"]
    assert [image["name"] for image in found["images"]] == ["0.png", "1.png"]


def test_pictures_of_two_sizes_fail_and_the_others_are_compared(folders, monkeypatch):
    monkeypatch.chdir(folders)
    save_photograph(folders / "restored" / "0.png", height=50)
    result = run("rainy", "restored", "--html", "page.html")
    assert result.exit_code == 1
    assert result.stderr.count("Failed:") == 1 and "0.png has 56 × 50" in result.stderr
    assert "0.png has 56 × 50" in (folders / "page.html").read_text("utf-8")
    single = run("rainy/0.png", "restored/0.png", "--html", "single.html")
    assert single.exit_code == 1 and not (folders / "single.html").exists()


def test_the_page_shows_as_many_as_asked_for(folders, monkeypatch):
    monkeypatch.chdir(folders)
    run("rainy", "restored", "--html", "page.html", "--pictures", "1")
    page = (folders / "page.html").read_text("utf-8")
    assert page.count('<div class="viewer"') == 1
    assert "2 pictures; 1 of them, evenly chosen" in page


def test_the_page_is_opened_only_when_asked_for(folders, monkeypatch):
    monkeypatch.chdir(folders)
    opened = []
    monkeypatch.setattr(command_module.webbrowser, "open", opened.append)
    run("rainy", "clean", "--html", "a b.html")
    assert opened == []
    run("rainy", "clean", "--html", "a b.html", "--open")
    assert opened == [(folders / "a b.html").resolve().as_uri()]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["rainy", "nowhere"], 2, "nowhere"),
        (["rainy", "clean/0.png"], 2, "files only"),
        (["rainy", "clean", "--html", "page.png"], 2, "FILE.html"),
        (["rainy", "clean", "--open"], 2, "--html"),
        (["rainy", "clean", "--pictures", "3"], 2, "--html"),
        (["rainy", "clean", "--labels", "same,same"], 2, "--labels"),
        (["rainy", "clean", "--labels", "one"], 2, "--labels"),
        (["rainy", "clean", "--html", "rainy/0.png/page.html"], 1, "cannot be written"),
    ],
)
def test_errors_name_what_is_wrong_and_end_with_the_right_code(
    folders, monkeypatch, arguments, code, said
):
    monkeypatch.chdir(folders)
    error = run(*arguments).exception
    assert isinstance(error, DrcnetError)
    assert error.exit_code == code
    assert said in str(error)


def test_restore_writes_a_report(drcnet, tmp_path, tiny_weights):
    for number in range(14):
        save_photograph(tmp_path / "in" / f"{number:02}.png", seed=number)
    (tmp_path / "in" / "<i>bad.png").write_text("no picture")
    call = ("restore", "--weights", tiny_weights, "in", "out", "--report", "report.html")
    first = drcnet(*call)
    assert first.returncode == 1  # of the bad file
    assert "Wrote report.html." in first.stderr
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count('<div class="viewer"') == 12
    assert "14 restored; 1 failed, listed below; 12 of the 14, evenly chosen, are shown." in page
    assert "&lt;i&gt;bad.png is not a picture" in page and "<i>" not in page
    assert "device cpu" in page and "sha256" in page and "tiny" in page
    # A run with nothing left to do reports of what is there.
    (tmp_path / "in" / "<i>bad.png").unlink()
    second = drcnet(*call)
    assert second.returncode == 0, second.stderr
    assert "0 restored; 14 already there" in (tmp_path / "report.html").read_text("utf-8")


def test_a_report_that_cannot_be_written_costs_no_output(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "in" / "a.png")
    result = drcnet(
        "restore", "-w", tiny_weights, "in", "out", "--report", "in/a.png/report.html", "--json"
    )
    assert result.returncode == 1
    assert (tmp_path / "out" / "a.png").exists()
    assert json.loads(result.stdout)["status"] == "restored"
    assert result.stderr.count("Failed: The report in/a.png/report.html cannot be written") == 1


@pytest.mark.parametrize(
    ("name", "streams", "in_place", "said"),
    [
        ("report.png", False, False, "FILE.html"),
        ("report.html", False, True, "--in-place"),
        ("report.html", True, False, "standard input"),
    ],
)
def test_reports_that_make_no_sense_are_refused(name, streams, in_place, said):
    with pytest.raises(UsageError) as error:
        check_report(Path(name), streams, in_place)
    assert said in str(error.value)


def test_a_report_is_refused_before_any_work(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "in" / "a.png")
    result = drcnet("restore", "-w", tiny_weights, "in", "out", "--report", "report.png")
    assert result.returncode == 2
    assert "FILE.html" in result.stderr
    assert not (tmp_path / "out").exists()


def test_transparency_is_laid_on_a_colour(drcnet, tmp_path):
    for folder, mode, colour in (("a", "RGBA", (9, 9, 9, 0)), ("b", "RGB", (255, 255, 255))):
        (tmp_path / folder).mkdir()
        for name in ("one.png", "two.png"):
            Image.new(mode, (16, 16), colour).save(tmp_path / folder / name)
    call = ("compare", "a", "b", "--background", "white", "--json", "--jobs", "2")
    result = drcnet(*call, "--html", "page.html")
    assert result.returncode == 0, result.stderr
    images = json.loads(result.stdout)["images"]
    assert [image["scores"]["a"] for image in images] == [{"psnr": None, "ssim": 1.0}] * 2
    assert "no difference" in (tmp_path / "page.html").read_text("utf-8")
