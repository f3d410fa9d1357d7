"""Scenarios of `tests.campaign.folders`: files whose names are out to get the program."""

import json
import os
import pty
import threading

from tests.campaign.folder_ground import BAD, Ground
from tests.campaign.image_checks import digests

OBEYED = "\x1b]0;owned\x07"  # sets the title of a terminal's window
NAMES = (
    b"plain", b"with space", b"new\nline", b"tab\tin", b"\x1b]0;owned\x07", b"\x1b[2J", b"cr\rx",
    b"bell\x07", b"not\xff\xfetext", b"-leading", b"--overwrite", b"'quoted\"", b"$(touch x)",
    b"%s%n", b"*", b"[a-z]", b"back\\slash", b"x" * 251, b"\xc3\xbc" * 125, b"trailing ",
    "\u202egnp".encode(), "\U0001f469\u200d\U0001f4bb".encode(), "e\u0301".encode(),
    "\u00e9".encode(), b"CASE", b"case", b"con", b"a" * 200 + b"\n", "\u2028".encode(),
    "\x9b2J".encode(), b"<script>alert(1)</script>".replace(b"/", b"_"), b"{job}", b"[bold]",
)  # fmt: skip


def names(ground: Ground) -> None:
    good = [ground.put(b"in/" + name + b".png") for name in NAMES]
    bad = [ground.put(b"in/bad/" + name[:240] + b".jpg", BAD) for name in NAMES]
    before = digests(ground.inputs)
    run = ground.run("in", "out", "--json", code=1)
    records = [json.loads(line) for line in run.stdout.splitlines()]
    status = {record["input"]: record["status"] for record in records}
    for path in good:
        place = path.relative_to(ground.top)
        ground.expect(status.get(str(place)) == "restored", f"{place!s} {status.get(str(place))}")
        out = ground.top / "out" / path.name
        ground.expect(out.exists(), f"no output {path.name!r}")
    failed = sum(record["status"] == "failed" for record in records)
    ground.expect(failed == len(bad), f"{failed} of {len(bad)} broken files reported")
    lines = run.stderr.decode().splitlines()
    ground.expect(sum(line.startswith("Failed: ") for line in lines) == len(bad), "not a line each")
    _expect_shown(ground, run.stderr)
    _expect_shown(ground, ground.run("in", "out2", "--dry-run").stdout.replace(b"\t", b""))
    ground.expect(digests(ground.inputs) == before, "inputs changed")


def _expect_shown(ground: Ground, said: bytes) -> None:
    text = said.decode("utf-8", "surrogateescape").replace("\n", "")
    odd = {c for c in text if ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2028"}
    ground.expect(not odd, f"control characters reach the terminal: {odd!r}")


def names_on_a_terminal(ground: Ground) -> None:
    for name in NAMES:
        ground.put(b"in/" + name[:240] + b".png", BAD)
    ground.put("in/good.png")
    master, slave = pty.openpty()
    said = bytearray()
    reader = threading.Thread(target=_drain, args=(master, said))
    reader.start()
    ground.run("in", "out", "--report", "page.html", code=1, stdout=slave, stderr=slave,
               capture_output=False)  # fmt: skip
    os.close(slave)
    reader.join(10)
    ground.expect(b"owned" in said, "nothing was said")
    for sequence in (OBEYED.encode(), b"\x1b[2J", "\x9b2J".encode(), b"\x07"):
        ground.expect(sequence not in said, f"a name's {sequence!r} reaches the terminal")
    ground.expect(b"Traceback" not in said, f"a traceback: {bytes(said[-600:])!r}")
    ground.expect((ground.top / "page.html").exists(), "no report")


def _drain(master: int, into: bytearray) -> None:
    try:
        while piece := os.read(master, 65536):
            into += piece
    except OSError:  # the other end is closed
        return


def single_names(ground: Ground) -> None:
    for name in (b"new\nline", b"not\xff\xfetext", b"*", b"x" * 251):
        path = ground.put(b"in/" + name + b".png")
        ground.run(str(path), "out/")
        ground.expect((ground.top / "out" / path.name).exists(), f"no output for {name!r}")
    dashed = ground.put("-x.png")
    ground.run("--", dashed.name, "out/")
    ground.run(f"./{dashed.name}", "out2/")
    longer = str(ground.put(b"in/" + b"y" * 251 + b".png"))
    ground.run(longer, "out3/", "--format", "tiff", code=2)
    ground.run("in", "z" * 300, code=(1, 2))
    ground.run("in", "/".join(["z" * 200] * 30), code=(1, 2))
    ground.run("z" * 300, "out", code=2)
