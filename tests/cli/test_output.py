"""What reaches the terminal, and how a run ends whose reader has gone."""

import json
import os
import subprocess

import pytest
from conftest import command, environment, save_photograph
from hypothesis import given
from hypothesis import strategies as st

from drcnet_cli.cli._output import print_line
from drcnet_cli.text import printable

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX pipes and names")
TITLE = "\x1b]0;owned\x07"


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_a_terminal_obeys_is_printed(text):
    shown = printable(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in shown)
    assert not set(shown) & set(
        "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain.jpg",
        "über 雨.png",
        "no\u00a0break",
        "\U0001f469\u200d\U0001f4bb",
        "می\u200cخواهم",
    ],
)
def test_words_of_every_script_stay(text):
    assert printable(text) == text


def test_escapes_are_those_of_python():
    assert printable("a\nb\t\x1b[2J\u202egnp\udcff") == r"a\nb\t\x1b[2J\u202egnp\udcff"


def test_fields_cannot_add_a_tab(capsys):
    print_line("planned", "a\tb", "c\nd")
    assert capsys.readouterr().out == "planned\ta\\tb\tc\\nd\n"


@posix
def test_a_names_escape_sequence_is_escaped_on_every_channel(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "in" / f"{TITLE}.png")
    (tmp_path / "in" / f"bad{TITLE}.png").write_bytes(b"no picture")
    run = drcnet("restore", "-w", tiny_weights, "in", "out", "--json")
    assert run.returncode == 1
    assert "\x1b" not in run.stdout + run.stderr
    assert r"Failed: in/bad\x1b]0;owned\x07.png" in run.stderr
    records = [json.loads(line) for line in run.stdout.splitlines()]
    assert {record["input"] for record in records} == {f"in/{TITLE}.png", f"in/bad{TITLE}.png"}
    planned = drcnet("restore", "-w", tiny_weights, "in", "out", "--dry-run", "--overwrite")
    assert "\x1b" not in planned.stdout


@posix
@pytest.mark.parametrize(
    ("call", "unbuffered"), [(["in", "out", "--json"], ""), (["in/0.png", "-"], "1")]
)
def test_a_reader_that_goes_ends_the_run_quietly(call, unbuffered, tmp_path, tiny_weights):
    for number in range(4):
        save_photograph(tmp_path / "in" / f"{number}.png", seed=number, height=200, width=200)
    run = subprocess.Popen(
        command("restore", "-q", "-w", tiny_weights, *call),
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONUNBUFFERED=unbuffered),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert run.stdout
    assert run.stderr
    run.stdout.close()
    said = run.stderr.read()
    run.stderr.close()
    assert run.wait(60) == 141
    assert said == b""
    assert not list(tmp_path.rglob("*.tmp"))


@posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize(
    ("call", "unbuffered"),
    [(["in", "out", "--json"], ""), (["in/a.png", "-"], "1"), (["in/a.png", "-"], "")],
)
def test_a_full_disk_behind_standard_output_is_one_sentence(
    call, unbuffered, drcnet, tmp_path, tiny_weights
):
    save_photograph(tmp_path / "in" / "a.png")
    env = environment(tmp_path, PYTHONUNBUFFERED=unbuffered)
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        run = drcnet(
            "restore", "-q", "-w", tiny_weights, *call, env=env, capture_output=False,
            stdout=full, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert run.returncode == 1
    assert "No space left" in run.stderr
    kinds = [line.split(":")[0] for line in run.stderr.splitlines()]
    assert kinds in (["Error"], ["Error", "Hint"])


@posix
def test_a_process_without_standard_streams_works(tmp_path, tiny_weights):
    save_photograph(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.tif").write_bytes(b"II*\0" + bytes(50))
    call = " ".join(command("restore", "-w", tiny_weights, "in", "out", "--json"))
    run = subprocess.run(
        f"{call} >&- 2>&-", shell=True, cwd=tmp_path, env=environment(tmp_path), check=False
    )
    assert run.returncode == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


@posix
def test_a_name_too_long_for_the_system_is_one_sentence(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "in" / "a.png")
    run = drcnet("restore", "-w", tiny_weights, "in", f"{'y' * 300}/out")
    assert run.returncode == 1
    assert "too long" in run.stderr
    assert "Traceback" not in run.stderr
