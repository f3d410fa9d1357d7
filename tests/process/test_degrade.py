"""`drcnet degrade`: contact sheets and folders of pairs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from drcnet_cli.cli.degrade import choose_kind, degrade
from drcnet_cli.degrade import folder
from drcnet_cli.degrade.folder import PairPlan, make_pairs
from drcnet_cli.degrade.preview import contact_sheet, draw_scene, drawn_scenes
from drcnet_cli.errors import StorageError, UsageError
from drcnet_cli.imageio.folder import read_rgb8

pytestmark = pytest.mark.usefixtures("own_cache")
app = typer.Typer()
app.command()(degrade)


@pytest.fixture
def photographs(tmp_path):
    """Make a folder of three pictures, one of them in a subfolder."""
    folder = tmp_path / "photos"
    for number, name in enumerate(["a.png", "b c.jpg", "deeper/ä.png"]):
        save(folder / name, number)
    return folder


def save(path, number, height=40, width=56):
    path.parent.mkdir(parents=True, exist_ok=True)
    scene = draw_scene(np.random.default_rng(number), height, width)
    Image.fromarray((scene.transpose(1, 2, 0) * 255).astype(np.uint8)).save(path)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(
    "task", ["rain", "derain", "noise", "blur", "haze", "dehaze", "hybrid", "auto"]
)
def test_preview_of_drawn_scenes_needs_no_photographs(tmp_path, task):
    result = run("--task", task, "--preview", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.output
    sheet = pixels(tmp_path / "sheet.png")
    assert sheet.shape == (4 * 280, 5 * 260, 3)
    assert not list(tmp_path.glob(".*"))


def test_preview_shows_the_photographs_and_follows_the_seed(tmp_path, photographs):
    sheets = []
    for seed, name in ((1, "one"), (1, "again"), (2, "two")):
        sheet = tmp_path / f"{name}.png"
        result = run("--task", "rain", "--preview", sheet, "--seed", seed, photographs)
        assert result.exit_code == 0, result.output
        sheets.append(sheet.read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]
    sheet, first = pixels(tmp_path / "one.png"), pixels(photographs / "a.png")
    np.testing.assert_array_equal(sheet[:40, :56], first)
    assert (sheet[:40, 260:316] != first).any()


def test_pairs_mirror_the_tree_and_hold_the_clean_picture(tmp_path, photographs):
    out = tmp_path / "out"
    result = run("--task", "rain", photographs, out, "--seed", 3, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["written"], report["kind"], report["seed"]) == (3, "rain", 3)
    assert names(out / "lq") == names(out / "gt") == ["a.png", "b c.png", "deeper/ä.png"]
    np.testing.assert_array_equal(pixels(out / "gt/a.png"), pixels(photographs / "a.png"))
    assert pixels(out / "lq/a.png").shape == (40, 56, 3)
    assert (pixels(out / "lq/a.png") != pixels(out / "gt/a.png")).any()


def test_a_pair_depends_on_seed_and_name_alone(tmp_path, photographs):
    make_pairs(photographs, tmp_path / "all", PairPlan("noise", seed=5))
    (photographs / "a.png").unlink()
    save(photographs / "0.png", 9)
    make_pairs(photographs, tmp_path / "others", PairPlan("noise", seed=5))
    make_pairs(photographs, tmp_path / "seed", PairPlan("noise", seed=6))
    one, two, three = (
        (tmp_path / run / "lq/b c.png").read_bytes() for run in ("all", "others", "seed")
    )
    assert one == two != three


def test_an_interrupted_run_goes_on_and_overwrite_redoes(tmp_path, photographs):
    out = tmp_path / "out"
    make_pairs(photographs, out, PairPlan("rain", seed=1))
    before = (out / "lq/a.png").read_bytes()
    (out / "gt/b c.png").unlink()
    resumed = make_pairs(photographs, out, PairPlan("rain", seed=2))
    assert (resumed.written, resumed.skipped) == (1, 2)
    assert (out / "lq/a.png").read_bytes() == before
    assert make_pairs(photographs, out, PairPlan("rain", seed=2, overwrite=True)).written == 3
    assert (out / "lq/a.png").read_bytes() != before


def test_a_damaged_picture_is_reported_and_the_others_go_on(tmp_path, photographs):
    (photographs / "broken.jpg").write_bytes(b"no picture at all")
    (photographs / "._a.png").write_bytes(b"what macOS leaves behind")
    result = run("--task", "blur", photographs, tmp_path / "out")
    assert result.exit_code == 1
    assert "broken.jpg" in result.output and "3 pairs" in result.output
    assert len(names(tmp_path / "out/lq")) == 3


def test_streaks_are_drawn_from_a_folder(tmp_path, photographs):
    layers = tmp_path / "layers"
    layers.mkdir()
    Image.fromarray(np.full((60, 80), 200, np.uint8)).save(layers / "one.png")
    outs = [tmp_path / "with", tmp_path / "without"]
    options = ["--task", "rain", "--kind", "rain-heavy", "--seed", 1]
    assert run(*options, "--streaks", layers, photographs, outs[0]).exit_code == 0
    assert run(*options, photographs, outs[1]).exit_code == 0
    one, two = ([(out / "lq" / name).read_bytes() for name in names(out / "lq")] for out in outs)
    assert one != two


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preview", "s.png"], "Nothing says what to add"),
        (["--task", "rain"], "Nothing says what to make"),
        (["--task", "rain", "--preview", "s.xyz"], "Name the sheet s.png"),
        (["--task", "snow", "--preview", "s.png"], "Unknown task 'snow'"),
        (["--task", "rain", "--kind", "blur", "--preview", "s.png"], "Unknown kind 'blur'"),
        (["--task", "rain", "missing", "out"], "There is no folder missing"),
        (["--task", "rain", "missing", "--preview", "s.png"], "no pictures in missing"),
        (["--task", "rain", ".", "out"], "lies within"),
        (["--task", "noise", "--streaks", ".", "--preview", "s.png"], "--streaks is for rain"),
        (["--task", "rain", ".", "--preview", "s.png"], "lies among the photographs"),
    ],
)
def test_impossible_calls_say_what_to_type(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert isinstance(result.exception, UsageError)
    assert said in f"{result.exception.message} {result.exception.hint}" and result.exception.hint
    assert not list(tmp_path.iterdir())


def test_a_picture_too_large_for_the_memory_stops_no_other(tmp_path, photographs, monkeypatch):
    def read(path, background=None):
        if path.name == "a.png":
            raise MemoryError
        return read_rgb8(path, background)

    monkeypatch.setattr("drcnet_cli.degrade.folder.read_rgb8", read)
    made = make_pairs(photographs, tmp_path / "out", PairPlan("rain", seed=0))
    assert [error.message for error in made.failed] == [
        f"{photographs / 'a.png'} is too large for this machine's memory."
    ]
    assert made.written == 2


def test_pairs_are_png_files_whatever_the_name(tmp_path, photographs):
    out = tmp_path / "out"
    refused = run("--task", "rain", "--name", "{stem}.jpg", photographs, out)
    assert isinstance(refused.exception, UsageError) and "{ext}" in refused.exception.hint
    assert not out.exists()


def test_pictures_that_would_share_an_output_are_refused(tmp_path, photographs):
    save(photographs / "a.jpg", 4)
    with pytest.raises(UsageError, match="would both be written"):
        make_pairs(photographs, tmp_path / "out", PairPlan("rain", seed=0))


def test_kinds_follow_the_task():
    assert choose_kind("rain", None) == choose_kind("derain", None) == "rain"
    assert choose_kind("denoise", None) == "noise"
    assert choose_kind("noise", "camera") == choose_kind(None, "camera") == "camera"


def test_sheets_take_photographs_of_any_size():
    tall, wide = np.zeros((90, 20, 3), np.uint8), np.full((8, 300, 3), 255, np.uint8)
    sheet = contact_sheet([tall, wide], "rain-light", seed=0, columns=2, side=64)
    assert sheet.shape == (2 * 88, 3 * 68, 3)
    scenes = drawn_scenes(2, seed=0, side=32)
    assert scenes[0].shape == (32, 32, 3) and (scenes[0] != scenes[1]).any()


def test_the_command_loads_no_heavy_library_before_it_runs():
    code = (
        "import sys, drcnet_cli.cli.degrade; "
        "sys.exit(','.join({'cv2', 'torch', 'numpy', 'PIL'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_full_disk_ends_the_run_with_one_sentence(tmp_path, photographs, monkeypatch):
    write = folder.write_png
    there = []

    def fill(path, image, *finish):
        if len(there) == 3:
            raise StorageError(f"{path} cannot be written: No space left on device.")
        there.append(path)
        write(path, image, *finish)

    monkeypatch.setattr(folder, "write_png", fill)
    made = make_pairs(photographs, tmp_path / "out", PairPlan("gaussian", seed=0))
    assert (made.written, len(made.failed)) == (1, 1)
    monkeypatch.undo()
    again = make_pairs(photographs, tmp_path / "out", PairPlan("gaussian", seed=0))
    assert (again.skipped, again.failed) == (1, ())


def test_a_sheet_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(StorageError, match="sheet.png cannot be written: Read-only"):
        folder.write_png(tmp_path / "sheet.png", np.zeros((8, 8, 3), np.uint8))


def test_names_and_dates_mean_what_they_mean_in_restore(drcnet, tmp_path, photographs):
    os.utime(photographs / "a.png", (1_000_000, 1_000_000))
    call = ("degrade", "--task", "rain", photographs.name)
    result = drcnet(*call, "out", "--name", "{stem}_{task}{ext}", "--keep-dates")
    assert result.returncode == 0, result.stderr
    expected = ["a_derain.png", "b c_derain.png", "deeper/ä_derain.png"]
    assert names(tmp_path / "out/lq") == names(tmp_path / "out/gt") == expected
    dated = [tmp_path / "out" / part / "a_derain.png" for part in ("lq", "gt")]
    assert {path.stat().st_mtime for path in dated} == {1_000_000}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--suffix", "_x", "--name", "{stem}{ext}"], "both name the outputs"),
        (["--name", "{stem}_{model}{ext}"], "{model}, of which there is none here"),
        (["--name", "one{ext}"], "would both be written"),
        (["--background", "no colour"], "--background cannot be"),
        (["--jobs", "some"], "--jobs cannot be"),
    ],
)
def test_options_that_cannot_be_are_refused_before_any_work(tmp_path, photographs, options, said):
    result = run("--task", "rain", photographs, tmp_path / "out", *options)
    assert isinstance(result.exception, UsageError) and said in result.exception.message
    assert not (tmp_path / "out").exists()


def test_a_suffix_names_pairs_and_no_sheet(tmp_path, photographs):
    call = ["--task", "rain", "--suffix", "_x"]
    assert run(*call, photographs, tmp_path / "out").exit_code == 0
    assert names(tmp_path / "out/lq") == ["a_x.png", "b c_x.png", "deeper/ä_x.png"]
    result = run(*call, "--preview", tmp_path / "s.png")
    assert "names in an output folder" in str(result.exception)


def test_update_redoes_what_is_stale_alone(tmp_path, photographs):
    def made(*options):
        call = ("--task", "noise", photographs, tmp_path / "out", "--json")
        return json.loads(run(*call, *options).stdout)

    assert made()["written"] == 3
    again = made("--update")
    assert (again["written"], again["skipped"], again["stale"]) == (0, 3, 0)
    save(photographs / "a.png", 7)
    assert made()["stale"] == 1
    other = made("--seed", "2")
    assert (other["written"], other["skipped"], other["stale"]) == (0, 3, 3)
    again = made("--update")
    assert (again["written"], again["skipped"], again["stale"]) == (1, 2, 0)
    np.testing.assert_array_equal(pixels(tmp_path / "out/gt/a.png"), pixels(photographs / "a.png"))


def test_processes_make_the_same_pairs(drcnet, tmp_path, photographs):
    make_pairs(photographs, tmp_path / "one", PairPlan("raindrop", seed=0))
    (photographs / "broken.jpg").write_bytes(b"no picture at all")
    result = drcnet("degrade", "--task", "raindrop", photographs.name, "two", "--jobs", "2")
    assert result.returncode == 1 and "broken.jpg" in result.stderr
    assert "Traceback" not in result.stderr and "3 pairs" in result.stderr
    files = names(tmp_path / "one")
    assert files == names(tmp_path / "two") and len(files) == 9
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_transparency_is_laid_on_a_colour(tmp_path):
    (tmp_path / "in").mkdir()
    clear = np.zeros((12, 12, 4), np.uint8)
    clear[:6] = (10, 20, 30, 255)
    Image.fromarray(clear).save(tmp_path / "in/a.png")
    result = run("--task", "noise", tmp_path / "in", tmp_path / "out", "--background", "#ffcc00")
    assert result.exit_code == 0, result.output
    clean = pixels(tmp_path / "out/gt/a.png")
    assert (clean[:6] == (10, 20, 30)).all() and (clean[6:] == (255, 204, 0)).all()
