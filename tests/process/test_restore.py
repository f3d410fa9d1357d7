"""`drcnet restore` as a process: what it writes, what it says, and its exit codes."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import EXAMPLES, command, environment, photograph, save_photograph
from image_fixtures import random_array
from PIL import Image


def names(folder) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def temporaries(folder) -> list:
    return [p for p in folder.rglob("*") if p.name.endswith(".tmp")]


def test_real_photographs_are_restored_by_the_bundled_checkpoints(drcnet, tmp_path):
    for task, folder, least in (("denoise", "noisy", 8), ("derain", "rainy", 1)):
        result = drcnet("restore", "--task", task, EXAMPLES / folder, tmp_path / task)
        assert result.returncode == 0, result.stderr
        assert result.stdout == ""
        assert result.stderr.count("tile ") == 1  # said once, whatever the number of images
        for source in (EXAMPLES / folder).iterdir():
            before = np.asarray(Image.open(source).convert("RGB"), float)
            after = np.asarray(Image.open(tmp_path / task / source.name).convert("RGB"), float)
            clean_path = EXAMPLES / "clean" / f"{source.stem}.jpg"
            clean = np.asarray(Image.open(clean_path).convert("RGB"), float)
            gain = 10 * np.log10(((before - clean) ** 2).mean() / ((after - clean) ** 2).mean())
            assert gain > least, f"{source.name}: {gain:.2f} dB"


def test_a_tree_is_mirrored_and_a_second_run_skips_it(drcnet, tmp_path, tiny_weights):
    tree = {"a.png", "sub/b.jpg", "sub/deep er/ünï.png", f"{'n' * 200}.png"}
    for name in tree:
        save_photograph(tmp_path / "in" / name)
    (tmp_path / "in" / ".hidden.png").write_bytes(b"x")
    (tmp_path / "in" / "notes.txt").write_text("x")
    call = ("restore", "--weights", tiny_weights, "in", "out")
    first = drcnet(*call)
    assert first.returncode == 0, first.stderr
    assert names(tmp_path / "out") == tree
    assert "4 restored, 2 not images." in first.stderr
    stamps = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in tree}
    second = drcnet(*call)
    assert second.returncode == 0
    assert "4 already there" in second.stderr
    assert stamps == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in tree}


def test_one_bad_file_stops_nothing(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.jpg").write_text("<html>not an image</html>")
    whole = save_photograph(tmp_path / "in" / "c.png").read_bytes()
    (tmp_path / "in" / "d.png").write_bytes(whole[: len(whole) // 2])
    result = drcnet("restore", "-w", tiny_weights, "in", "out", "--json")
    assert result.returncode == 1
    assert names(tmp_path / "out") == {"a.png", "c.png"}
    records = [json.loads(line) for line in result.stdout.splitlines()]
    status = {Path(record["input"]).name: record["status"] for record in records}
    assert status == {
        "a.png": "restored",
        "b.jpg": "failed",
        "c.png": "restored",
        "d.png": "failed",
    }
    assert result.stderr.count("Failed:") == 2
    assert "b.jpg" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["in", "in"], 2, "--in-place"),
        (["in"], 2, "Only one path"),
        (["missing.png", "out.png"], 2, "missing.png"),
        (["in", "out", "--format", "png"], 2, "both be written"),
        (["in", "out", "--tile", "100"], 2, "--tile 96"),
        (["in", "out", "--tile", "big"], 2, "--tile"),
        (["in", "out", "--batch", "0"], 2, "--batch"),
        (["in", "out", "--device", "tpu"], 2, "tpu"),
        (["in", "out", "--dtype", "int8"], 2, "int8"),
        (["in", "out", "--format", "docx"], 2, "docx"),
        (["in", "out", "--model", "nonsense"], 2, "both name a checkpoint"),
        (["in/a.png", "out"], 2, "out/"),
        (["in/a.png", "out.pbm"], 2, ".pbm"),
        (["in/a.png", "out.jpg", "--format", "png"], 2, "out.png"),
        (["-", "out.jpg", "--format", "png"], 2, "out.png"),
        (["-", "in"], 2, "is a folder"),
        (["-", "in/a.png"], 2, "--overwrite"),
        (["in/a.png", "-", "--json"], 2, "--json"),
        (["in/a.png", "in/a.jpg", "-"], 2, "takes one image"),
    ],
)
def test_wrong_calls_are_refused_before_any_work(
    arguments, code, said, drcnet, tmp_path, tiny_weights
):
    save_photograph(tmp_path / "in" / "a.png")
    save_photograph(tmp_path / "in" / "a.jpg")
    result = drcnet("restore", "-w", tiny_weights, *arguments)
    assert result.returncode == code, result.stderr
    assert said in result.stderr
    assert not (tmp_path / "out").exists()
    assert names(tmp_path / "in") == {"a.png", "a.jpg"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["in", "out"], 2, "--task"),
        (["--task", "defrost", "in", "out"], 2, "defrost"),
        (["--model", "nonsense", "in", "out"], 3, "nonsense"),
        (["--weights", "in/a.png", "in", "out"], 3, "safetensors"),
        (["--task", "denoise", "--model", "drcnet-s-derain", "in", "out"], 2, "made for derain"),
    ],
)
def test_a_checkpoint_that_is_not_to_be_had_is_explained(arguments, code, said, drcnet, tmp_path):
    save_photograph(tmp_path / "in" / "a.png")
    result = drcnet("restore", *arguments)
    assert result.returncode == code, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_in_place_replaces_the_input(drcnet, tmp_path, tiny_weights):
    path = save_photograph(tmp_path / "a.png")
    before = path.read_bytes()
    result = drcnet("restore", "-w", tiny_weights, "--in-place", "a.png")
    assert result.returncode == 0, result.stderr
    assert path.read_bytes() != before
    assert Image.open(path).size == (56, 40)


def test_dry_run_lists_and_writes_nothing(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "in" / "a.png")
    save_photograph(tmp_path / "in" / "b.png")
    save_photograph(tmp_path / "out" / "b.png")
    result = drcnet("restore", "-w", tiny_weights, "--dry-run", "in", "out")
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        f"planned\t{Path('in/a.png')}\t{Path('out/a.png')}",
        f"skipped\t{Path('in/b.png')}\t{Path('out/b.png')}",
    ]
    assert names(tmp_path / "out") == {"b.png"}


def test_standard_input_and_output(drcnet, tmp_path, tiny_weights):
    encoded = io.BytesIO()
    Image.fromarray(photograph()).save(encoded, "PNG")
    result = drcnet(
        "restore", "-w", tiny_weights, "-", "-",
        input=encoded.getvalue(), text=False, encoding=None,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    restored = Image.open(io.BytesIO(result.stdout))
    assert (restored.format, restored.size) == ("PNG", (56, 40))


def test_a_stream_into_a_file_has_its_record(drcnet, tmp_path, tiny_weights):
    picture = save_photograph(tmp_path / "a.png").read_bytes()
    for sent, code, status in ((picture, 0, "restored"), (b"<html>", 1, "failed")):
        result = drcnet(
            "restore", "-w", tiny_weights, "-", "b.png", "--json", "--overwrite",
            input=sent, text=False, encoding=None,
        )  # fmt: skip
        assert result.returncode == code, result.stderr
        record = json.loads(result.stdout)
        assert (record["input"], record["output"], record["status"]) == ("-", "b.png", status)
    listed = drcnet("restore", "-w", tiny_weights, "-", "c.png", "--dry-run")
    assert listed.stdout == "planned\t-\tc.png\n"


def test_every_record_has_the_same_fields(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "in" / "a.png")
    save_photograph(tmp_path / "out" / "a.png")
    save_photograph(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "c.png").write_bytes(b"x")
    Image.new("1", (8, 8)).save(tmp_path / "in" / "d.pbm")
    call = ("restore", "-w", tiny_weights, "in", "out", "--json")
    planned, done = (
        [json.loads(line) for line in drcnet(*call, *more).stdout.splitlines()]
        for more in (["--dry-run"], [])
    )
    assert [record["status"] for record in planned] == ["planned"] * 3 + ["skipped"]
    status = {Path(record["input"]).name: record["status"] for record in done}
    assert status == {"a.png": "skipped", "b.png": "restored", "c.png": "failed", "d.pbm": "failed"}
    again = drcnet("restore", "-w", tiny_weights, "in/b.png", "out", "--json").stdout
    assert json.loads(again)["status"] == "skipped"
    assert len({tuple(record) for record in [*planned, *done, json.loads(again)]}) == 1


def test_no_strength_gives_the_input_and_says_so(drcnet, tmp_path, tiny_weights):
    pixels = random_array(4, np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    call = ("restore", "--weights", tiny_weights, "a.png", "b.png", "--json", "--report", "p.html")
    done = drcnet(*call, "--strength", "0")
    assert json.loads(done.stdout)["strength"] == 0, done.stderr
    assert np.array_equal(cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_UNCHANGED), pixels)
    assert "strength 0<" in (tmp_path / "p.html").read_text()
    for wrong in ("1.5", "-0.1", "nan", "much"):
        refused = drcnet(*call, f"--strength={wrong}")
        assert refused.returncode == 2 and "--strength" in refused.stderr, wrong


def test_finding_no_image_is_said(drcnet, tmp_path, tiny_weights):
    (tmp_path / "in").mkdir()
    for more in ((), ("--dry-run",)):
        result = drcnet("restore", "-w", tiny_weights, "in", "out", *more)
        assert result.returncode == 0
        assert "No images found." in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_names_that_are_no_text_are_reported(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "a.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "in" / os.fsdecode(b"\xff\xe9.png"))
    strict = environment(tmp_path, PYTHONIOENCODING="utf-8:strict")
    for more in (("--dry-run",), ("--dry-run", "--json"), ("--json",)):
        result = drcnet("restore", "-w", tiny_weights, "in", "out", *more, env=strict)
        assert result.returncode == 0, result.stderr
        assert "\\udcff" in result.stdout
    assert os.fsencode(json.loads(result.stdout)["output"]).endswith(b"\xff\xe9.png")


def test_format_changes_every_output(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "in" / "a.png")
    save_photograph(tmp_path / "in" / "b.bmp")
    result = drcnet("restore", "-w", tiny_weights, "in", "out", "--format", "webp")
    assert result.returncode == 0, result.stderr
    assert names(tmp_path / "out") == {"a.webp", "b.webp"}


def test_crf_without_videos_is_said(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "a.png")
    result = drcnet("restore", "--crf", "20", "-w", tiny_weights, "a.png", "b.png")
    assert (result.returncode, "--crf is for videos" in result.stderr) == (0, True), result.stderr


def test_quiet_says_nothing(drcnet, tmp_path, tiny_weights):
    save_photograph(tmp_path / "a.png")
    result = drcnet("restore", "-q", "-w", tiny_weights, "a.png", "b.png")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_whole_files_and_goes_on(sent, tmp_path, drcnet):
    for index in range(12):
        save_photograph(tmp_path / "in" / f"{index:02}.png", height=300, width=400, seed=index)
    call = ("restore", "--task", "denoise", "in", "out")
    process = subprocess.Popen(
        command(*call),
        cwd=tmp_path,
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        # What runs in a shell's background inherits a Ctrl-C that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "01.png").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Interrupted" in stderr
    assert "Traceback" not in stderr
    done = names(tmp_path / "out")
    assert 2 <= len(done) < 12
    assert temporaries(tmp_path) == []
    for name in done:
        Image.open(tmp_path / "out" / name).load()
    again = drcnet(*call, "--json")
    assert again.returncode == 0, again.stderr
    status = [json.loads(line)["status"] for line in again.stdout.splitlines()]
    assert sorted(status) == ["restored"] * (12 - len(done)) + ["skipped"] * len(done)


def test_errors_show_their_traceback_only_when_asked(drcnet, tmp_path):
    call = ("restore", "--task", "denoise", "missing.png", "out.png")
    assert "Traceback" not in drcnet(*call).stderr
    debugged = drcnet(*call, env=environment(tmp_path, DRCNET_DEBUG="1"))
    assert "Traceback" in debugged.stderr


def test_help_loads_neither_torch_nor_the_hub_client(tmp_path):
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "drcnet_cli", "--help"],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=60,
    )
    assert result.returncode == 0
    loaded = {
        line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()
    }
    assert loaded.isdisjoint({"torch", "numpy", "PIL", "cv2", "huggingface_hub", "safetensors"})
    for name in ("restore", "convert", "doctor", "weights"):
        assert name in result.stdout


def test_doctor_reports_and_warns_of_nothing_damaged(drcnet):
    result = drcnet("doctor", "--json")
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["devices"][0].startswith("cpu")
    assert facts["checkpoints"]["drcnet-s-denoise"] == "bundled"
    assert not any("checkpoint" in warning for warning in facts["warnings"])


def test_doctor_is_readable_too_and_warns_on_standard_error(drcnet, tmp_path):
    result = drcnet("doctor")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    names = {line[:24].strip() for line in lines} - {""}
    assert {"torch", "devices", "checkpoints"} <= names
    assert any(line[24:] == "drcnet-s-denoise: bundled" for line in lines)


def test_convert_then_restore(drcnet, tmp_path):
    golden = EXAMPLES.parent / "tests" / "golden" / "drcnet_wf8_depth4_sf2-3.pth"
    made = drcnet("convert", golden, "net.safetensors", "--filter-levels", "2:3", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["config"]["filter_levels"] == [2, 3]
    save_photograph(tmp_path / "a.png")
    result = drcnet("restore", "-w", "net.safetensors", "a.png", "b.png")
    assert result.returncode == 0, result.stderr


def test_convert_then_restore_with_airnet(drcnet, tmp_path):
    golden = EXAMPLES.parent / "tests" / "golden" / "airnet_f16_g2_b2.pth"
    made = drcnet("convert", golden, "net.safetensors", "--json")
    assert made.returncode == 0, made.stderr
    config = json.loads(made.stdout)["config"]
    assert (config["features"], config["encoder_widths"]) == (16, [16, 32, 16])
    save_photograph(tmp_path / "a.png")
    result = drcnet("restore", "-w", "net.safetensors", "a.png", "b.png")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "a.png") as before, Image.open(tmp_path / "b.png") as after:
        assert after.size == before.size
        assert not np.array_equal(np.asarray(before), np.asarray(after))
    refused = drcnet("convert", golden, "other.safetensors", "--threshold", "0.5")
    assert refused.returncode == 2
    assert "AirNet has no --threshold" in refused.stderr
    assert not (tmp_path / "other.safetensors").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_run_goes_on_to_the_same_end(tmp_path, drcnet, tiny_weights):
    for index in range(8):
        ending = ("png", "jpg", "tif", "webp")[index % 4]
        save_photograph(tmp_path / "in" / f"{index}.{ending}", height=300, width=400, seed=index)
    whole = drcnet("restore", "-w", tiny_weights, "in", "whole")
    assert whole.returncode == 0, whole.stderr
    call = ("restore", "-w", tiny_weights, "in", "out", "--json")
    for count in (1, 5):
        process = subprocess.Popen(
            command(*call),
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not (tmp_path / "out" / f"{count}.jpg").exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        process.wait()
        done = {path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".tmp"}
        for name in done:
            assert (tmp_path / "out" / name).read_bytes() == (
                tmp_path / "whole" / name
            ).read_bytes()
    # As a process that is killed in the middle of a write leaves it.
    dead = tmp_path / "out" / ".7.webp.0123456789ab.drcnet.tmp"
    dead.write_bytes(b"half")
    (tmp_path / "out" / "7.webp").unlink(missing_ok=True)
    again = drcnet(*call)
    assert again.returncode == 0, again.stderr
    restored = [json.loads(line) for line in again.stdout.splitlines()]
    assert sum(record["status"] == "skipped" for record in restored) == len(done - {"7.webp"})
    assert temporaries(tmp_path) == []
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "whole").iterdir()
    }
    third = drcnet(*call)
    status = [json.loads(line)["status"] for line in third.stdout.splitlines()]
    assert status == ["skipped"] * 8


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
@pytest.mark.parametrize(
    "call", [("weights", "list"), ("weights", "list", "--json"), ("train", "--print-config")]
)
def test_results_sent_to_a_full_disk_end_with_a_sentence(call, drcnet):
    with Path("/dev/full").open("w") as full:
        result = drcnet(*call, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "Error: The output cannot be written: No space left on device.",
        "Hint: Make room, or send it elsewhere.",
    ]


def test_outputs_are_named_by_a_pattern_and_clashes_are_refused_before_work(drcnet, tmp_path):
    for name in ("a.png", "b.png"):
        save_photograph(tmp_path / "in" / name)
    call = ("restore", "--task", "denoise", "in", "out", "--dry-run", "--name")
    done = drcnet(*call, "{stem}_{task}{ext}")
    assert done.stdout.splitlines() == [
        "planned\tin/a.png\tout/a_denoise.png",
        "planned\tin/b.png\tout/b_denoise.png",
    ]
    for pattern, said in (("{task}{ext}", "would both be written"), ("{what}{ext}", "{what}")):
        refused = drcnet(*call, pattern)
        assert refused.returncode == 2 and said in refused.stderr
