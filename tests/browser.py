"""A headless Chromium for tests, driven through ChromeDriver's HTTP interface (W3C WebDriver).

Both are found on the PATH (Debian: chromium and chromium-driver); nothing is downloaded.
"""

import base64
import io
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")
MISSING = "needs Chromium and ChromeDriver on the PATH"

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the W3C's name of a reference to an element
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    # Nothing of the browser's own goes out, and no host is found but this one.
    *("--no-first-run", "--disable-sync", "--disable-quic", "--disable-component-update"),
    *("--disable-background-networking", "--no-proxy-server"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--hide-scrollbars",
)


class Browser:
    """One window; `run` executes JavaScript and gives its value."""

    def __init__(self, address: str, session: str) -> None:
        self._address = f"{address}/session/{session}"

    def __call__(self, command: str, **values: Any) -> Any:
        return _post(f"{self._address}/{command}", values)

    def open(self, path: Path) -> None:
        self("url", url=path.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        return self("execute/sync", script=script, args=list(arguments))

    def find(self, selector: str) -> dict[str, str]:
        return self("element", using="css selector", value=selector)

    def click(self, selector: str) -> None:
        self(f"element/{self.find(selector)[_ELEMENT]}/click")

    def press(self, selector: str, keys: str) -> None:
        self(f"element/{self.find(selector)[_ELEMENT]}/value", text=keys)

    def drag(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> None:
        """Drag from one place of the window to another with a `mouse` or by `touch`."""
        steps = [
            {"type": "pointerMove", "x": round(start[0]), "y": round(start[1]), "duration": 0},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "x": round(end[0]), "y": round(end[1]), "duration": 60},
            {"type": "pointerUp", "button": 0},
        ]
        source = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}}
        self("actions", actions=[{**source, "actions": steps}])

    def devtools(self, command: str, **values: Any) -> Any:
        return self("goog/cdp/execute", cmd=command, params=values)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Save the page as it is seen now."""
        path.write_bytes(self._shot())

    def pixel(self, x: float, y: float) -> tuple[int, int, int]:
        """Return the colour seen at a place of the window."""
        seen = Image.open(io.BytesIO(self._shot())).convert("RGB").getpixel((round(x), round(y)))
        assert isinstance(seen, tuple)
        return int(seen[0]), int(seen[1]), int(seen[2])

    def _shot(self) -> bytes:
        return base64.b64decode(self.devtools("Page.captureScreenshot")["data"])

    def console(self) -> list[str]:
        """Return the console messages since the last call: errors of scripts and of the policy."""
        return [entry["message"] for entry in self("se/log", type="browser")]

    def requests(self) -> list[str]:
        """Return the addresses that pages asked for since the last call."""
        entries = [
            json.loads(entry["message"])["message"] for entry in self("se/log", type="performance")
        ]
        asked = [
            entry["params"]["request"]["url"]
            for entry in entries
            if entry["method"] == "Network.requestWillBeSent"
        ]
        return [address for address in asked if not address.startswith("chrome://")]  # its own tab


@contextmanager
def browsing(folder: Path, *, scripts: bool = True) -> Iterator[Browser]:
    """Start a browser that keeps its files in `folder` and finds no host; end it."""
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    driver = subprocess.Popen(
        [str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(address)
        session = _post(f"{address}/session", _capabilities(folder, scripts))["sessionId"]
        try:
            yield Browser(address, session)
        finally:
            _request("DELETE", f"{address}/session/{session}", None)
    finally:
        driver.terminate()
        driver.wait(timeout=20)


def _capabilities(folder: Path, scripts: bool) -> dict[str, Any]:
    chrome = {
        "binary": CHROMIUM,
        "args": [*_FLAGS, f"--user-data-dir={folder}"],
        "prefs": {} if scripts else {"profile.managed_default_content_settings.javascript": 2},
    }
    logs = {"browser": "ALL", "performance": "ALL"}
    wanted = {"goog:chromeOptions": chrome, "goog:loggingPrefs": logs}
    return {"capabilities": {"alwaysMatch": wanted}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_ready(address: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if _request("GET", f"{address}/status", None)["ready"]:
                return
        except urllib.error.URLError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"ChromeDriver does not answer at {address}.")
        time.sleep(0.05)


def _post(address: str, values: dict[str, Any]) -> Any:
    return _request("POST", address, values)


def _request(method: str, address: str, values: dict[str, Any] | None) -> Any:
    body = None if values is None else json.dumps(values).encode()
    request = urllib.request.Request(address, body, method=method)
    # No proxy of the environment's may come between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
