"""The papers' tables in miniature: every row is trained, measured, resumed, and written down."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from training_helpers import environment, write_picture

from drcnet_cli.errors import DrcnetError
from drcnet_cli.train.vgg import VGGFeatures

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # as Python does for a script there
import experiments  # noqa: E402
from curves import Point, draw_curves  # noqa: E402
from experiments import TABLES, read_results, run_row, write_table  # noqa: E402

FEWEST = {"patches": '"32x3"', "width": "4", "holdout": "0.3", "val_count": "1"}


def run_table(name: str, folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """Train each row of a table for two steps, at the smallest size."""
    clean = folder / "clean"
    for number in range(6):  # large enough for blur, which takes 32 pixels off each side
        write_picture(clean / f"{number:02}.png", number, 96, 112)
    call = [sys.executable, str(BENCHMARKS / "experiments.py"), name, "--clean", str(clean)]
    call += ["--steps", "2", "--out", str(folder / "out"), *more]
    for key, value in FEWEST.items():
        call += ["--set", f"{key}={value}"]
    offline = {**environment(), "HF_HUB_OFFLINE": "1", "DRCNET_CACHE": str(folder / "cache")}
    return subprocess.run(call, capture_output=True, text=True, timeout=2400, env=offline)


def vgg_file(folder: Path) -> Path:
    """Write random weights under torchvision's names."""
    numbers = {"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10}
    state = VGGFeatures().state_dict()
    named = [(name.split("."), value) for name, value in state.items()]
    path = folder / "vgg19.pth"
    torch.save({f"features.{numbers[layer]}.{kind}": v for (layer, kind), v in named}, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_quick_pass_of_every_table(name, tmp_path):
    vgg = str(vgg_file(tmp_path))
    first = run_table(name, tmp_path, "--vgg", vgg)
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
    run_table(name, tmp_path, "--vgg", vgg).check_returncode()
    assert [path.stat().st_mtime_ns for path in results] == stamps  # nothing was repeated


@pytest.mark.slow
def test_rows_without_vgg_say_so_and_are_made_up_for(tmp_path):
    without = run_table("drcnet-figure-9", tmp_path)
    assert without.returncode == 0, without.stderr
    failed = [
        line for line in without.stdout.splitlines() if "VGG19's weights are not here" in line
    ]
    contrastive = [row for row in TABLES["drcnet-figure-9"].rows if row.settings]
    assert len(failed) == len(contrastive) == 10
    figure = tmp_path / "out" / "drcnet-figure-9.svg"
    assert figure.read_text().count("<circle") == 2  # no contrast at all, of both curves
    with_it = run_table("drcnet-figure-9", tmp_path, "--vgg", str(vgg_file(tmp_path)))
    assert "VGG19" not in with_it.stdout
    assert figure.read_text().count("<circle") == 2 + len(contrastive)


def test_a_row_that_diverges_says_so_once_for_all(monkeypatch, tmp_path):
    told = []

    def diverge(config):
        told.append(config)
        raise DrcnetError("The training has diverged at step 7.")

    monkeypatch.setattr(experiments, "train", diverge)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # which other tests would feel
    table = TABLES["drcnet-5"]
    row = table.rows[0]
    for _ in range(2):
        run_row(table, row, 0, {"steps": 9}, tmp_path / row.folder / "0")
    assert len(told) == 1 and "block=res" in told[0].set
    text = write_table(table, 1, tmp_path, {"camera": {"psnr": 20.0, "ssim": 0.5}})
    assert "| base (The training has diverged at step 7.) | - | - |" in text
    assert "| input | 20.00 | 0.500 |" in text
    assert not read_results(table.rows[1], 1, tmp_path)


def test_curves_lie_where_their_values_are():
    points = {"a": [Point(0, 30.0), Point(1, 31.0, 0.5)], "b & c": [Point(0, 30.5)]}
    text = draw_curves("title", "x", "dB", points)
    root = ElementTree.fromstring(text)
    ends = [line.get("points", "").split() for line in root.findall("{*}polyline")]
    (left, right), (other,) = [[tuple(map(float, p.split(","))) for p in line] for line in ends]
    assert left[0] < right[0] and left[0] == other[0]
    assert right[1] < other[1] < left[1]  # SVG counts from the top
    assert {"30.00", "31.50", "b & c"} <= {label.text for label in root.findall("{*}text")}
    assert draw_curves("title", "x", "dB", {"a": []}).count("<circle") == 0


def test_rows_have_folders_of_their_own():
    for table in TABLES.values():
        assert len({row.folder for row in table.rows}) == len(table.rows)
        assert all(set(row.measured(table)) <= set(table.columns) for row in table.rows)
