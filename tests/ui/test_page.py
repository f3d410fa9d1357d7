"""The page in a real browser: dropped, compared, taken home; and nothing asks for anything else."""

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import CHROMIUM, DRIVER, MISSING, Browser, browsing
from conftest import EXAMPLES, command, environment, save_photograph

pytest.importorskip("gradio")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING)

LIMIT = 40
ENTER, DELETE, SELECT_ALL = "\ue007", "\ue017", "\ue009a\ue000"


def until(told: Callable[[], object], seconds: float = 60) -> object:
    """Wait until something is there, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := told()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return value


class Page:
    """The served page in a browser; `home` is where the browser puts what it downloads."""

    def __init__(self, browser: Browser, address: str, folder: Path) -> None:
        self.browser, self.address, self.folder = browser, address, folder
        self.home = folder / "home"
        browser.devtools(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.home)
        )

    def open(self) -> None:
        self.browser.resize(1200, 900)
        self.browser("url", url=self.address)
        until(lambda: self.browser.run("return document.querySelector('#pictures input')"))
        for path in self.home.glob("*"):
            path.unlink()

    def drop(self, *paths: Path, into: str = "#pictures") -> None:
        self.browser.press(f"{into} input[type=file]", "\n".join(map(str, paths)))
        try:
            until(lambda: all(path.stem in self.text(into) for path in paths), 20)
        except AssertionError:
            raise AssertionError(self.text(into)) from None

    def choose(self, where: str, value: str) -> None:
        self.browser.press(f"{where} input", f"{SELECT_ALL}{value}{ENTER}")

    def text(self, where: str = "body") -> str:
        return self.browser.run(
            "return document.querySelector(arguments[0])?.textContent ?? ''", where
        )

    def restore(self, rows: int) -> None:
        self.browser.click("#restore")
        until(lambda: self.link("#all") or self.failed(rows))

    def failed(self, rows: int) -> bool:
        return self.shown_rows() == rows and not self.link("#one")

    def shown_rows(self) -> int:
        return self.browser.run("return document.querySelectorAll('#table tbody tr').length")

    def link(self, where: str) -> bool:
        return self.browser.run(
            "const part = document.querySelector(arguments[0]);"
            "return !!part && !part.disabled && !part.querySelector('[disabled]')",
            where,
        )

    def download(self, where: str, name: str) -> Path:
        until(lambda: self.link(where))
        self.browser.click(where)
        until(lambda: (self.home / name).exists())
        return self.home / name

    def left(self) -> list[str]:
        """Name the files that the server holds, but for the page's own."""
        found = (path for path in self.folder.glob("tmp/drcnet-ui-*/**/*") if path.is_file())
        return [path.name for path in found if path.stat().st_size and path.name not in OWN]


OWN = {"parrots.jpg", "boat.jpg"}


@contextmanager
def serving(folder: Path, *options) -> Iterator[str]:
    """Serve the page, its files and its log in a folder; return its address."""
    (folder / "tmp").mkdir()
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command("ui", "--no-open", "--port", "0", "--threads", "1", *options),
            env=environment(folder, TMPDIR=str(folder / "tmp")),
            stdout=log,
            stderr=log,
        )
    try:
        said = until(
            lambda: re.search(r"http://127\.0\.0\.1:\d+/", (folder / "log").read_text()), 120
        )
        yield said[0]
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    assert "Traceback" not in (folder / "log").read_text()
    assert list((folder / "tmp").glob("drcnet-ui-*")) == []


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Serve the page and open a browser for all tests of this module."""
    folder = tmp_path_factory.mktemp("ui")
    options = ("--max-files", LIMIT)
    with serving(folder, *options) as address, browsing(folder / "profile") as browser:
        yield Page(browser, address, folder)
        asked = browser.requests()
        assert any(url.startswith(address) for url in asked)
        outside = [a for a in asked if not a.startswith((address, "data:", "blob:", "about:"))]
        assert outside == []
        console = [line for line in browser.console() if "Method not implemented" not in line]
        assert console == []


def test_a_picture_is_restored_compared_and_downloaded(page, drcnet, tmp_path):
    page.open()
    source = EXAMPLES / "rainy" / "lighthouse.jpg"
    page.drop(source)
    page.restore(1)
    assert "rain" in page.text("#table")  # what auto saw
    left, top, width, height = page.browser.run(
        "const box = document.querySelector('#slider img').getBoundingClientRect();"
        "return [box.left, box.top, box.width, box.height]"
    )
    before = page.browser.pixel(left + width * 0.4, top + 5)
    split = "return document.querySelector('#slider .handle, #slider .outer').style.cssText"
    at_first = page.browser.run(split)
    middle = top + height / 2
    page.browser.drag((left + width / 2, middle), (left + width / 4, middle), "mouse")
    assert page.browser.run(split) != at_first, before
    made = page.download("#one", "lighthouse.jpg")
    done = drcnet("restore", "--task", "auto", "--threads", "1", source, "commands.jpg")
    assert done.returncode == 0, done.stderr
    assert made.read_bytes() == (tmp_path / "commands.jpg").read_bytes()


def test_all_choices_mean_what_they_mean_to_the_command(page, drcnet, tmp_path, tiny_weights):
    page.open()
    source = save_photograph(tmp_path / "Ärger 1.png")
    page.drop(source)
    page.browser.click("#own button")
    until(lambda: page.browser.run("return document.querySelector('#weights input')"))
    page.drop(tiny_weights, into="#weights")
    page.choose("#format", "tiff")
    page.browser.press("#strength input[type=number]", f"{SELECT_ALL}0.5{ENTER}")
    page.browser.press("#grain input[type=number]", f"{SELECT_ALL}0.25{ENTER}")
    page.restore(1)
    made = page.download("#one", "Ärger 1.tiff")
    call = ("--weights", tiny_weights, "--strength", "0.5", "--format", "tiff", "--threads", "1")
    assert drcnet("restore", *call, "--keep-grain", "0.25", source, "out/").returncode == 0
    assert made.read_bytes() == (tmp_path / "out" / "Ärger 1.tiff").read_bytes()


def test_bad_input_is_a_sentence_on_the_page(page, tmp_path):
    page.open()
    page.browser.click("#restore")
    until(lambda: "There is no picture yet" in page.text())
    bad = tmp_path / "bad.png"
    bad.write_text("<script>alert(1)</script>")
    page.drop(bad)
    page.restore(1)
    assert "bad.png " in page.text("#table") and "Traceback" not in page.text()
    assert not page.link("#all")


def test_forty_pictures_come_in_one_zip_and_one_more_is_refused(page, tmp_path, tiny_weights):
    page.open()
    sources = [save_photograph(tmp_path / f"{number}.png", seed=number) for number in range(LIMIT)]
    page.browser.click("#own button")
    until(lambda: page.browser.run("return document.querySelector('#weights input')"))
    page.drop(tiny_weights, into="#weights")
    page.drop(*sources[:3], *sources[3:])
    page.restore(LIMIT)
    with zipfile.ZipFile(page.download("#all", "restored.zip")) as archive:
        assert sorted(archive.namelist()) == sorted(path.name for path in sources)
    page.open()
    page.drop(*sources, save_photograph(tmp_path / "more.png", seed=99))
    page.browser.click("#restore")
    until(lambda: "These are 41 pictures, and the page takes 40 at a time." in page.text())


def test_a_run_can_be_cancelled_and_what_is_done_is_offered(page, tmp_path):
    page.open()
    small = [save_photograph(tmp_path / f"{number}.png") for number in range(4)]
    page.drop(*small, save_photograph(tmp_path / "large.png", height=1200, width=1600))
    page.choose("#task", "denoise")
    page.browser.click("#restore")
    until(lambda: re.search("[2-4] of 5", page.text()))
    page.browser.click("#cancel")
    with zipfile.ZipFile(page.download("#all", "restored.zip")) as archive:
        assert set(archive.namelist()) <= {path.name for path in small}
        assert len(archive.namelist()) >= 2
    assert "large.png" not in page.text("#table")


def test_a_phone_shows_it_all_without_sideways_scrolling(page):
    page.open()
    page.browser.resize(390, 844)
    page.drop(EXAMPLES / "noisy" / "hat.jpg")
    page.restore(1)
    assert page.browser.run("return document.documentElement.scrollWidth") == 390
    assert page.browser.run("return document.querySelector('#slider img').clientWidth") > 300


def test_an_example_is_taken_by_a_click(page):
    page.open()
    page.browser.click("#examples img")
    until(lambda: "parrots" in page.text("#pictures"))


def test_who_leaves_leaves_nothing(page, tmp_path):
    page.open()
    page.drop(save_photograph(tmp_path / "private.png"))
    page.restore(1)
    assert "private.png" in page.left()
    page.browser("url", url="about:blank")
    until(lambda: not page.left())


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("gradio_api/file=/etc/passwd", None),
        (f"gradio_api/file={EXAMPLES.parent}/README.md", None),
        ("gradio_api/file=TMP", None),
        ("gradio_api/file=http://127.0.0.1:1/", None),
        ("gradio_api/proxy=http://127.0.0.1:1/", None),
        ("", "elsewhere.example"),  # a site that calls itself by a name that leads here
    ],
)
def test_nothing_else_is_served(page, path, host):
    root = next((page.folder / "tmp").glob("drcnet-ui-*"))
    address = page.address + path.replace("TMP", str(root))
    request = urllib.request.Request(address, headers={"Host": host} if host else {})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20)
    assert refused.value.code in (400, 403, 404)


def test_programs_get_the_commands_result(page, drcnet, tmp_path, monkeypatch):
    client = pytest.importorskip("gradio_client")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    source = save_photograph(tmp_path / "a.png")
    program = client.Client(page.address, download_files=str(tmp_path / "got"), verbose=False)
    options = {"task": "denoise", "strength": 0.5, "format": "as the input"}
    made = program.predict(picture=client.handle_file(source), **options, api_name="/restore")
    drcnet("restore", "-t", "denoise", "--strength", "0.5", "--threads", "1", source, "b.png")
    assert Path(made).read_bytes() == (tmp_path / "b.png").read_bytes()
    assert os.path.basename(made) == "a.png"  # noqa: PTH119
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    with pytest.raises(client.exceptions.AppError, match=r"bad\.png "):
        program.predict(picture=client.handle_file(bad), **options, api_name="/restore")


def test_who_has_no_password_sees_no_page(tmp_path):
    fields = "return document.querySelectorAll('input[type=password]').length"

    def come_in(browser: Browser, password: str) -> None:
        browser.press("input[type=text], textarea", f"{SELECT_ALL}anna")
        browser.press("input[type=password]", f"{SELECT_ALL}{password}")
        browser.click("button")

    with (
        serving(tmp_path, "--auth", "anna:right") as address,
        browsing(tmp_path / "profile") as browser,
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address + "config")
        assert refused.value.code == 401
        page = Page(browser, address, tmp_path)
        browser("url", url=address)
        until(lambda: browser.run(fields))
        assert not browser.run("return document.querySelector('#pictures')")
        come_in(browser, "wrong")
        until(lambda: "ncorrect" in page.text())
        assert browser.run(fields) == 1
        come_in(browser, "right")
        until(lambda: browser.run("return document.querySelector('#pictures input')"))
        assert browser.run(fields) == 0
    assert "right" not in (tmp_path / "log").read_text()
