"""The papers' tables in miniature: every row is trained, measured, resumed, and written down."""

import subprocess
import sys
from pathlib import Path

import pytest
from training_helpers import photographs

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # as Python does for a script there
from experiment_tables import TABLES  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_quick_pass_of_every_table(name, tmp_path):
    clean = photographs(tmp_path / "clean", 6)
    call = [sys.executable, str(BENCHMARKS / "experiments.py"), name, "--clean", str(clean)]
    call += ["--steps", "2", "--out", str(tmp_path / "out"), "--set", 'patches="32x3"']
    call += ["--set", "holdout=0.3", "--set", "val_count=1"]
    first = subprocess.run(call, capture_output=True, text=True, timeout=1200)
    assert first.returncode == 0, first.stderr
    text = (tmp_path / "out" / f"{name}.md").read_text()
    for row in TABLES[name].rows:
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {row.name} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        figures = cells[1 : 1 + len(TABLES[name].columns)]
        kinds = row.measured(TABLES[name])
        assert [cell != "-" for cell in figures] == [k in kinds for k in TABLES[name].columns]
        assert row.paper == cells[-1] and "M" in cells[-3]
    results = sorted((tmp_path / "out").rglob("result.json"))
    stamps = [path.stat().st_mtime_ns for path in results]
    subprocess.run(call, check=True, capture_output=True, timeout=600)
    assert [path.stat().st_mtime_ns for path in results] == stamps  # nothing was repeated


def test_rows_have_folders_of_their_own():
    for table in TABLES.values():
        assert len({row.folder for row in table.rows}) == len(table.rows)
        assert all(set(row.measured(table)) <= set(table.columns) for row in table.rows)
