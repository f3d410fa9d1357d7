import json

import pytest
from training_helpers import flags, photographs, start_training

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def figures(out):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps = [line["loss"] for line in lines if line["event"] == "step"]
    scores = [line["psnr"] for line in lines if line["event"] == "validation"]
    return steps, scores


def test_two_processes_learn_as_one_with_the_doubled_batch(tmp_path):
    clean = photographs(tmp_path / "clean")
    values = {
        "task": "denoise", "degrade": "gaussian", "clean": clean, "width": 4, "depth": 2,
        "steps": 8, "lr": 3e-3, "dtype": "float32", "device": "cpu", "log_every": 1,
        "val_side": 32, "holdout": 0.2, "workers": 1,
    }  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    processes = (
        start_training(*flags(**values, patches="16x4", out=one)),
        start_training(*flags(**values, patches="16x2", out=two), launcher=TORCHRUN),
    )
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    losses, scores = figures(one)
    assert len(losses) == 8
    assert max(losses) - min(losses) > 1e-3  # the curve is one, so that equality means much
    losses_of_two, scores_of_two = figures(two)
    assert losses_of_two == pytest.approx(losses, abs=1e-4)
    assert scores_of_two == pytest.approx(scores, abs=0.02)
    assert (two / "final.safetensors").is_file()
