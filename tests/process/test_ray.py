"""`--ray`: the same results from a cluster, whatever is lost on the way."""

import json

import pytest
from conftest import environment, save_photograph


def pictures(folder, count=6):
    for index in range(count):
        save_photograph(folder / f"{index}.png", height=40 + 8 * (index % 5), seed=index)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_cluster_of_this_machine_restores_what_one_process_does(drcnet, tmp_path, tiny_weights):
    pytest.importorskip("ray")
    (pictures(tmp_path / "in") / "bad.png").write_bytes(b"no picture")
    call = ("restore", "--weights", tiny_weights, "--device", "cpu", "--json", "in")
    alone = drcnet(*call, "alone")
    result = drcnet(*call, "out", "--ray", "local")
    assert result.returncode == alone.returncode == 1, result.stderr
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert "[7/7]" in result.stderr
    assert result.stderr.splitlines()[-2:] == alone.stderr.splitlines()[-2:]
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(record["status"] for record in records) == ["failed"] + ["restored"] * 6
    assert {record["input"] for record in records if record["error"]} == {"in/bad.png"}


@pytest.fixture
def without_ray(tmp_path):
    (tmp_path / "no-ray").mkdir()
    (tmp_path / "no-ray" / "ray.py").write_text("raise ImportError('ray')\n")
    env = environment(tmp_path)
    return env | {"PYTHONPATH": f"{tmp_path / 'no-ray'}:{env['PYTHONPATH']}"}


def test_without_the_extra_one_sentence_says_what_to_type(drcnet, tmp_path, without_ray):
    pictures(tmp_path / "in", 1)
    result = drcnet("restore", "-t", "denoise", "in", "out", "--ray", "local", env=without_ray)
    assert result.returncode == 2
    assert "pip install 'drcnet[ray]'" in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert drcnet("restore", "-t", "denoise", "in", "out", env=without_ray).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ray", "local", "--in-place", "in"), "--in-place cannot go with --ray"),
        (("--ray", "local", "-", "out.png"), "not a stream"),
        (("--shared-storage", "in", "out"), "is for --ray"),
        (("--ray", "cluster:10001", "in", "out"), "auto, local or ray://HOST"),
    ],
)
def test_what_means_nothing_is_refused(drcnet, tmp_path, tiny_weights, arguments, said):
    pictures(tmp_path / "in", 1)
    result = drcnet("restore", "--weights", tiny_weights, *arguments)
    assert result.returncode == 2
    assert said in result.stderr
