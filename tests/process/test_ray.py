"""`--ray`: the same results from a cluster, whatever is lost on the way."""

import json
import subprocess
import time
from collections import Counter

import pytest
from conftest import command, environment, save_photograph
from ray_cluster import cluster_of


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
    result = drcnet(*call, "out", "--ray", "local", timeout=300)
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
        (("--ray", "local", "--jobs", "2", "in", "out"), "Leave out --jobs"),
        (("--shared-storage", "in", "out"), "is for --ray"),
        (("--ray", "cluster:10001", "in", "out"), "auto, local or ray://HOST"),
    ],
)
def test_what_means_nothing_is_refused(drcnet, tmp_path, tiny_weights, arguments, said):
    pictures(tmp_path / "in", 1)
    result = drcnet("restore", "--weights", tiny_weights, *arguments)
    assert result.returncode == 2
    assert said in result.stderr


def stamps(folder):
    whole = [path for path in folder.glob("*.png") if not path.name.startswith(".")]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in whole}


def wait_for(folder, count, process):
    """Wait until a run has so many outputs; return their stamps."""
    deadline = time.monotonic() + 600
    while len(there := stamps(folder)) < count and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return there


def wait_for_quiet(folder):
    """Wait until nobody writes into a folder any more."""
    there = None
    while there != (there := stamps(folder)):
        time.sleep(3)
    return there


@pytest.mark.slow
def test_a_lost_node_and_a_killed_driver_cost_nothing_that_was_finished(drcnet, tmp_path, request):
    for index in range(48):
        save_photograph(tmp_path / "in" / f"{index}.png", height=300, width=400, seed=index)
    call = ("restore", "-t", "denoise", "--device", "cpu", "--dtype", "float32", "in")
    # With as many threads as a worker has: the number changes the order of sums.
    assert drcnet(*call, "alone", "--threads", "1", timeout=600).returncode == 0
    out = tmp_path / "out"
    out.mkdir()
    with cluster_of(3) as (cluster, nodes):
        env = environment(tmp_path, RAY_ADDRESS=cluster.address)
        refused = drcnet(*call, "out", "--ray", "auto", env=env)
        assert refused.returncode == 2
        assert "4 nodes" in refused.stderr
        assert "--shared-storage" in refused.stderr
        run = (*call, "out", "--ray", "auto", "--shared-storage", "--json")
        process = subprocess.Popen(
            command(*run), cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        request.addfinalizer(process.kill)
        wait_for(out, 8, process)
        cluster.remove_node(nodes[0], allow_graceful=False)
        after_node = wait_for(out, 24, process)
        process.kill()
        process.communicate()
        after_driver = wait_for_quiet(out)
        assert len(after_driver) < 48
        again = drcnet(*run, env=env, timeout=600)
        assert again.returncode == 0, again.stderr
    assert contents(out) == contents(tmp_path / "alone")
    last = stamps(out)
    assert {name for name, stamp in after_node.items() if last[name] != stamp} == set()
    assert {name for name, stamp in after_driver.items() if last[name] != stamp} == set()
    statuses = Counter(json.loads(line)["status"] for line in again.stdout.splitlines())
    assert statuses == {"skipped": len(after_driver), "restored": 48 - len(after_driver)}


@pytest.mark.slow
def test_a_lost_node_alone_is_not_noticed_in_the_results(tmp_path, request):
    for index in range(36):
        save_photograph(tmp_path / "in" / f"{index}.png", height=300, width=400, seed=index)
    call = ("restore", "-t", "denoise", "--device", "cpu", "--dtype", "float32", "in")
    out = tmp_path / "out"
    out.mkdir()
    with cluster_of(3) as (cluster, nodes):
        process = subprocess.Popen(
            command(*call, "out", "--ray", "auto", "--shared-storage", "--json"),
            cwd=tmp_path,
            env=environment(tmp_path, RAY_ADDRESS=cluster.address),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        request.addfinalizer(process.kill)
        wait_for(out, 6, process)
        cluster.remove_node(nodes[-1], allow_graceful=False)
        there = stamps(out)
        output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    records = [json.loads(line) for line in output.splitlines()]
    assert sorted(record["input"] for record in records) == sorted(f"in/{i}.png" for i in range(36))
    last = stamps(out)
    assert len(last) == 36
    assert {name for name, stamp in there.items() if last[name] != stamp} == set()


@pytest.fixture
def bucket(monkeypatch):
    """Serve a bucket that this process's children find, a cluster's nodes among them."""
    pytest.importorskip("s3fs", reason="a bucket takes drcnet[s3]")
    pytest.importorskip("moto", reason="the bucket is moto's")
    from s3_server import S3Server

    with S3Server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def made_in(bucket):
    """Count how often each output was written."""
    return Counter(path for method, path in bucket.asked if method == "PUT" and "/out/" in path)


@pytest.mark.slow
def test_a_bucket_goes_on_after_a_lost_node_and_a_killed_driver(
    drcnet, tmp_path, tiny_weights, bucket, request
):
    count, contents = 2000, []
    for index in range(50):
        path = save_photograph(
            tmp_path / f"{index}.png", height=16 + index % 5, width=24, seed=index
        )
        contents.append(path.read_bytes())
    names = [f"{index // 100:02}/{index}.png" for index in range(count)]
    for index, name in enumerate(names):
        bucket.put(f"in/{name}", contents[index % 50])
    call = ("restore", "-w", tiny_weights, "--device", "cpu", "--dtype", "float32")
    env = environment(tmp_path, **bucket.environment)
    alone = (*call, "--threads", "1", "--quiet", "s3://pictures/in", "alone")
    assert drcnet(*alone, env=env, timeout=1800).returncode == 0
    run = (*call, "s3://pictures/in", "s3://pictures/out", "--ray", "auto", "--json")
    with cluster_of(3) as (cluster, nodes):
        env["RAY_ADDRESS"] = cluster.address
        process = subprocess.Popen(
            command(*run), cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        request.addfinalizer(process.kill)

        def wait_for_objects(number):
            deadline = time.monotonic() + 1800
            while len(there := made_in(bucket)) < number and time.monotonic() < deadline:
                assert process.poll() is None, process.communicate()
                time.sleep(0.1)
            return there

        before_node = wait_for_objects(count // 4)
        cluster.remove_node(nodes[0], allow_graceful=False)
        wait_for_objects(count // 2)
        process.kill()
        process.communicate()
        there = None
        while there != (there := made_in(bucket)):
            time.sleep(3)
        assert len(there) < count
        again = drcnet(*run, env=env, timeout=1800)
    assert again.returncode == 0, again.stderr
    last = made_in(bucket)
    assert len(last) == count
    assert {name for name in before_node if there[name] != before_node[name]} == set()
    assert {name for name in there if last[name] != there[name]} == set()
    statuses = Counter(json.loads(line)["status"] for line in again.stdout.splitlines())
    assert statuses == {"skipped": len(there), "restored": count - len(there)}
    for name in names:
        assert bucket.get(f"out/{name}") == (tmp_path / "alone" / name).read_bytes()


@pytest.mark.slow
def test_scores_are_those_of_one_process(drcnet, tmp_path, tiny_weights):
    pytest.importorskip("ray")
    for index in range(7):
        save_photograph(tmp_path / "lq" / f"{index}.png", seed=index)
        save_photograph(tmp_path / "gt" / f"{index}.png", seed=index + 100)
    (tmp_path / "lq" / "5.png").write_bytes(b"no picture")
    call = ("eval", "-t", "denoise", "--lq", "lq", "--gt", "gt", "-w", tiny_weights, "--json")
    one = drcnet(*call, "--device", "cpu", timeout=600)
    several = drcnet(*call, "--ray", "local", timeout=600)
    assert one.returncode == several.returncode == 1, several.stderr
    records = [json.loads(result.stdout) for result in (one, several)]
    for record in records:
        record["means"].pop("seconds")
        for image in record["images"]:
            image.pop("seconds")
    assert len(records[0]["images"]) == 6
    assert records[0] == records[1]
