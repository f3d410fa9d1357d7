"""`drcnet train --ray`: Ray Train's workers learn as torchrun's processes do."""

import json
import subprocess
import time

import psutil
import pytest
from conftest import command, environment
from training_helpers import TINY, flags, photographs, start_training

pytestmark = pytest.mark.slow
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def losses(out):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if line["event"] == "step"}


def test_two_workers_learn_as_two_processes_of_torchrun(drcnet, tmp_path):
    pytest.importorskip("ray")
    values = {**TINY, "clean": photographs(tmp_path / "clean"), "steps": 8, "lr": 3e-3}
    process = start_training(*flags(**values, out=tmp_path / "torchrun"), launcher=TORCHRUN)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    result = drcnet("train", *flags(**values, out=tmp_path / "ray"), "--ray", 2, timeout=300)
    assert result.returncode == 0, result.stderr
    learned, expected = losses(tmp_path / "ray"), losses(tmp_path / "torchrun")
    assert len(expected) == 8
    assert learned == pytest.approx(expected, abs=1e-6)
    assert (tmp_path / "ray" / "final.safetensors").is_file()
    assert not (tmp_path / "ray" / ".ray").exists()


def steps(out):
    return list(losses(out)) if (out / "log.jsonl").exists() else []


def test_a_lost_worker_is_made_up_for_from_the_last_save(tmp_path):
    pytest.importorskip("ray")
    values = {**TINY, "clean": photographs(tmp_path / "clean"), "steps": 150, "save_every": 10}
    out = tmp_path / "out"
    process = subprocess.Popen(
        command("train", *flags(**values, out=out), "--ray", 2, "--json"),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while len(steps(out)) < 25 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    workers = [each for each in below if "RayTrainWorker" in " ".join(each.cmdline())]
    assert len(workers) == 2
    workers[1].kill()
    reached = steps(out)[-1]
    output, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert json.loads(output)["step"] == 150
    assert reached < 150
    assert steps(out)[-1] == 150
    assert (out / "final.safetensors").is_file()
