"""Runs that go on, or are asked for again: nothing is done twice, and nothing stale goes unsaid."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from conftest import command, environment, photograph, save_photograph
from PIL import Image

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and locales are others there")


def contents(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


@posix
def test_in_place_a_killed_run_on_two_devices_repeats_nothing(drcnet, tmp_path, tiny_weights):
    for index in range(20):
        save_photograph(tmp_path / "p" / f"{index}.jpg", height=200, width=300, seed=index)
    first = contents(tmp_path / "p")
    call = ("restore", "-w", tiny_weights, "--device", "cpu,cpu", "--in-place", "p", "--json")
    process = subprocess.Popen(
        command(*call, "--tile", "64"),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 100
    while contents(tmp_path / "p") == first and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    middle = contents(tmp_path / "p")
    done = {name for name in first if first[name] != middle[name]}
    assert done
    again = drcnet(*call, "--tile", "64")
    assert again.returncode == 0, again.stderr
    after = contents(tmp_path / "p")
    assert {name for name in first if after[name] == first[name]} == set()
    assert {name for name in done if after[name] != middle[name]} == set()
    assert "final" in again.stderr
    # With other settings they still count as done, which is said; only --overwrite repeats.
    other = drcnet(*call, "--tile", "128")
    assert contents(tmp_path / "p") == after
    assert "20 files were restored before with other settings: --overwrite" in other.stderr
    records = [json.loads(line) for line in other.stdout.splitlines()]
    assert [record["status"] for record in records] == ["skipped"] * 20
    assert all("other settings" in record["notes"][0] for record in records)


@posix
def test_stale_outputs_are_said_and_redone(drcnet, tmp_path, tiny_weights):
    """Under the C locale, with names that it cannot show."""
    names = ["ä.png", "b.png", "日本.png"]
    for index, name in enumerate(names):
        save_photograph(tmp_path / "in" / name, seed=index)
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env = environment(tmp_path, **ascii_only, PYTHONIOENCODING="")
    call = ("restore", "-w", tiny_weights, "in", "out")
    first = drcnet(*call, env=env)
    assert first.returncode == 0, first.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    Image.fromarray(photograph(seed=9)).save(tmp_path / "in" / "ä.png")
    said = drcnet(*call, "--json", env=env)
    assert "1 output is older than its input or was made with other settings" in said.stderr
    assert "--update" in said.stderr
    records = [json.loads(line) for line in said.stdout.splitlines()]
    assert Counter(len(record["notes"]) for record in records) == {0: 2, 1: 1}
    assert {record["status"] for record in records} == {"skipped"}
    done = drcnet(*call, "--update", env=env)
    assert "1 restored, 2 already there." in done.stderr
    weaker = drcnet(*call, "--strength", "0.5", "--dry-run", "--update", env=env)
    assert "3 to restore" in weaker.stderr
    assert "2 to restore" not in drcnet(*call, "--dry-run", env=env).stderr
