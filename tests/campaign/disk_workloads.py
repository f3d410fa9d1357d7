"""More tiny jobs, for full disks alone: pairs, crops, contact sheets, scores, pages, imports."""

import csv
import re
import sys
from pathlib import Path

from tests.campaign.workloads import Pull, Restore, Workload, digests, tiny_network
from tests.training_helpers import photographs

# Seconds, speeds, dates and the command line itself, which names another folder each time.
_VARIES = re.compile(r"\d+(\.\d+)? ?(s|ms|MP/s|megapixels)\b|/\S*/|\d{4}-\d\d-\d\d|images_per\S+")


class OnDisk(Workload):
    """A `drcnet` call on a folder of eight photographs, with results in `out`."""

    arguments: tuple[str, ...] = ()

    def prepare(self) -> None:
        self.clean = photographs(self.shared / "clean")

    def command(self, place: Path, case: int) -> list[str]:
        values = {"clean": self.clean, "out": place / "out", "shared": self.shared}
        given = [text.format(**values) for text in self.arguments]
        return [sys.executable, "-m", "drcnet_cli", *given]

    def repeated(self, place: Path, before: object, output: str) -> tuple[int, str]:
        return 0, ""


class Degrade(OnDisk):
    """Pairs with noise."""

    name = "degrade"
    arguments = ("degrade", "--task", "noise", "{clean}", "{out}")


class Preview(OnDisk):
    """A contact sheet."""

    name = "preview"
    arguments = ("degrade", "--task", "noise", "--preview", "{out}/sheet.png")


class Prepare(OnDisk):
    """Crops; what is there is replaced, as the sentence about the full disk advises."""

    name = "prepare"
    arguments = ("data", "prepare", "{clean}", "{out}", "--size", "24", "--stride", "16",
                 "--overwrite")  # fmt: skip


class Evaluate(OnDisk):
    """Scores of eight pairs as CSV, Markdown and a page."""

    name = "eval"
    arguments = ("eval", "-w", "{shared}/tiny.safetensors", "--lq", "{clean}", "--gt", "{clean}",
                 "--task", "denoise", "--csv", "{out}/a.csv", "--markdown", "{out}/b.md",
                 "--html", "{out}/c.html")  # fmt: skip

    def prepare(self) -> None:
        super().prepare()
        tiny_network(self.shared / "tiny.safetensors")

    def result(self, place: Path) -> dict[str, str]:
        return _texts(self.outputs(place))

    def broken(self, place: Path) -> list[str]:
        found = _texts(self.outputs(place))
        return [name for name in found if found[name] != self.expected.get(name)]


class Report(Restore):
    """Restored pictures and a page of them."""

    name = "report"
    sentences = 2  # on a picture, and on the page
    count = 4

    def command(self, place: Path, case: int) -> list[str]:
        return [*super().command(place, case), "--report", str(place / "out" / "page.html")]

    def result(self, place: Path) -> dict[str, str]:
        # Pictures that an earlier run restored come last, and without their time.
        return {n: d for n, d in digests(self.outputs(place)).items() if not n.endswith(".html")}

    def broken(self, place: Path) -> list[str]:
        page = self.outputs(place) / "page.html"
        cut = [page.name] if page.exists() and not page.read_text().endswith("</html>\n") else []
        found = self.result(place)
        return cut + [name for name in found if found[name] != self.expected.get(name)]


class Import(Pull):
    """A checkpoint put into the cache by hand."""

    name = "import"
    forks = False

    def command(self, place: Path, case: int) -> list[str]:
        file = self.shared / "given.safetensors"
        file.write_bytes(self.data)
        return [*super().command(place, case)[:-2], "import", str(file)]


def _texts(folder: Path) -> dict[str, str]:
    """Return the files below a folder as text, less what varies from run to run."""
    texts = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    if "a.csv" in texts:
        rows = [{**row, "seconds": ""} for row in csv.DictReader(texts["a.csv"].splitlines())]
        texts["a.csv"] = str(rows)
    return {name: _VARIES.sub("", text) for name, text in texts.items()}


DISK_WORKLOADS = {kind.name: kind for kind in (Degrade, Preview, Prepare, Evaluate, Report, Import)}
