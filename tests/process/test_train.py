import json
import signal
import time

import pytest
from conftest import environment
from training_helpers import flags, photographs, start_training

from drcnet_cli.train.config import TrainConfig

TINY = {
    "task": "denoise", "degrade": "gaussian", "width": 4, "depth": 2, "patches": "16x2",
    "val_side": 32, "holdout": 0.2, "dtype": "float32", "device": "cpu", "workers": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("clean"))


def test_a_run_reports_on_stderr_and_its_result_on_stdout(drcnet, clean, tmp_path):
    done = drcnet("train", *flags(**TINY, clean=clean, steps=3, out=tmp_path / "run"), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["step"] == 3
    assert result["interrupted"] is False
    assert result["final"] == str(tmp_path / "run/final.safetensors")
    assert "to train on" in done.stderr
    assert "\x1b" not in done.stderr  # plain lines where there is no terminal


def test_the_result_restores_pictures(drcnet, clean, tmp_path):
    out = tmp_path / "run"
    trained = drcnet("train", *flags(**TINY, clean=clean, steps=2, out=out), "--quiet")
    assert (trained.returncode, trained.stdout, trained.stderr) == (0, "", "")
    restored = drcnet(
        "restore", "--weights", out / "final.safetensors", clean / "00.png", tmp_path / "00.png"
    )
    assert restored.returncode == 0, restored.stderr
    assert (tmp_path / "00.png").is_file()


def test_print_config_gives_a_file_that_config_takes(drcnet, tmp_path):
    printed = drcnet("train", "--preset", "paper", "--lr", "3e-4", "--print-config")
    assert printed.returncode == 0, printed.stderr
    (tmp_path / "run.toml").write_text(printed.stdout)
    again = drcnet("train", "--config", "run.toml", "--betas", "0.5,0.9", "--print-config")
    assert 'contrastive = "intra"' in again.stdout
    assert "lr = 0.0003" in again.stdout
    assert "betas = [0.5, 0.9]" in again.stdout


def test_every_setting_is_a_flag_with_help(drcnet, tmp_path):
    done = drcnet("train", "--help", env=environment(tmp_path, COLUMNS="200"))
    for name in TrainConfig.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "--task"),
        (("--task", "defrost"), "defrost"),
        (("--task", "denoise", "--steps", "1"), "--clean"),
        (("--task", "gopro", "--steps", "1"), "--data-root"),
        (("--task", "denoise", "--preset", "slow"), "paper"),
        (("--config", "none.toml"), "none.toml"),
    ],
)
def test_what_cannot_be_done_ends_with_a_sentence_and_2(drcnet, arguments, word):
    done = drcnet("train", *arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupted_run_is_saved_and_goes_on(clean, tmp_path):
    out = tmp_path / "run"
    given = flags(**TINY, clean=clean, out=out, steps=100000, save_every="60m", log_every=1)
    process = start_training(*given)
    deadline = time.monotonic() + 60
    while not (out / "log.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "goes on from here" in errors
    assert "Traceback" not in errors
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "end"
    steps = last["step"] + 2
    resumed = start_training(*flags(**{**TINY, "clean": clean, "out": out, "steps": steps}))
    _, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, errors
    assert f"from step {last['step']} on" in errors


def test_prepare_cuts_a_folder(drcnet, clean, tmp_path):
    done = drcnet(
        "data", "prepare", clean, tmp_path / "cut", "--size", 24, "--stride", 24, "--json"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["written"] == len(list((tmp_path / "cut").iterdir())) > 8
    again = drcnet("data", "prepare", clean, tmp_path / "cut")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_prepare_ends_with_1_if_a_picture_is_damaged(drcnet, tmp_path):
    photographs(tmp_path / "in", 1)
    (tmp_path / "in/bad.png").write_bytes(b"no picture")
    done = drcnet("data", "prepare", "in", "out")
    assert done.returncode == 1
    assert "bad.png" in done.stderr
    assert (tmp_path / "out/00_c001.png").is_file()
