"""`drcnet eval` as a process, on tiny data sets."""

import csv
import json
import subprocess

import numpy as np
import pytest
from conftest import command, environment
from matlab_files import write_mat5
from PIL import Image
from scipy.io import loadmat

import drcnet_cli
from drcnet_cli.evaluation.tables import BEGIN, END
from drcnet_cli.metrics import psnr

OWN = ["--task", "denoise", "--lq", "data/PolyU/input", "--gt", "data/PolyU/target"]


def write_pairs(folder, count, suffix=".png"):
    rng = np.random.default_rng(3)
    for side in ("input", "target"):
        (folder / side).mkdir(parents=True)
    for number in range(count):
        clean = rng.integers(60, 200, (20, 24, 3))
        noisy = (clean + rng.normal(0, 12, clean.shape)).clip(0, 255)
        for side, pixels in (("input", noisy), ("target", clean)):
            Image.fromarray(pixels.astype(np.uint8)).save(folder / side / f"{number}{suffix}")


@pytest.fixture
def root(tmp_path):
    write_pairs(tmp_path / "data" / "Rain100L", 3)
    write_pairs(tmp_path / "data" / "PolyU", 2)
    return tmp_path / "data"


def records(result):
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_scores_are_those_of_the_restored_files(drcnet, root, tmp_path, tiny_weights):
    (record,) = records(
        drcnet("eval", "-d", "rain100l", "--data-root", root, "-w", tiny_weights, "--json", "-q")
    )
    assert record["setting"]["checkpoint"] == "tiny"
    assert len(record["setting"]["sha256"]) == 64
    assert not record["complete"]  # the set has 100
    assert record["published"] == []
    folder = root / "Rain100L"
    drcnet("restore", "-w", tiny_weights, "-q", folder / "input", tmp_path / "out")
    for image in record["images"]:
        files = [tmp_path / "out" / image["name"], folder / "target" / image["name"]]
        restored, target = (np.asarray(Image.open(file)) for file in files)
        assert image["psnr"] == pytest.approx(psnr(restored, target, channel="y"), abs=1e-6)
    means = record["means"]
    assert means["psnr"] == pytest.approx(np.mean([image["psnr"] for image in record["images"]]))


def test_a_level_of_rlrestore_is_measured_beside_what_is_published(drcnet, root, tmp_path):
    for side, number in (("in", 0), ("gt", 1)):
        folder = tmp_path / "RL-Restore" / f"mild_{side}"
        folder.mkdir(parents=True)
        (root / "PolyU" / ("input", "target")[number] / "0.png").rename(folder / f"1_{side}.png")
    asked = ("eval", "-d", "rlrestore-mild", "--data-root", tmp_path / "RL-Restore", "-q")
    (record,) = records(drcnet(*asked, "--json"))
    assert record["setting"]["checkpoint"] == "fdrnet-s-hybrid"
    assert record["protocol"]["ssim_variant"] == "uniform"
    (tmp_path / "RL-Restore/mild_gt/1_gt.png").unlink()
    (tmp_path / "RL-Restore/mild_gt").rmdir()
    missing = drcnet(*asked)
    assert missing.returncode == 2
    assert "RL-Restore, mild is not in" in missing.stderr and "mild_gt" in missing.stderr


def test_everything_found_is_measured_and_written(drcnet, root, tmp_path, tiny_weights):
    (tmp_path / "README.md").write_text(f"# Mine\n{BEGIN}\n{END}\n", encoding="utf-8")
    files = {name: tmp_path / "made" / f"scores.{name}" for name in ("csv", "md", "html")}
    result = drcnet(
        "eval", "--reproduce", "--data-root", root, "-w", tiny_weights, "--protocol", "paper",
        "--csv", files["csv"], "--markdown", files["md"], "--markdown", "README.md",
        "--html", files["html"],
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Rain100L: 3 pictures" in result.stdout
    assert "PolyU: 2 pictures" in result.stdout
    assert "tile 256, as published" in result.stdout
    lines = list(csv.DictReader(files["csv"].open(encoding="utf-8", newline="")))
    names = [line["dataset"] for line in lines]
    assert names == ["rain100l"] * 3 + ["rain100l-rgb"] * 3 + ["polyu"] * 2
    text = files["md"].read_text(encoding="utf-8")
    assert "| Rain100L | tiny | 3 |" in text
    assert "drcnet eval --reproduce" in text
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Mine\n")
    title, overview, *_ = text.split("\n## ")[0].split("\n", 1)
    assert title == "# Scores"
    assert overview.strip() in readme
    assert "## Rain" not in readme
    page = files["html"].read_text(encoding="utf-8")
    assert page.count("data:image/") >= 3 * 5  # before, after and target of five pictures
    assert "://" not in page.replace("http://www.w3.org/", "")  # nothing to be fetched


def test_several_processes_give_what_one_gives(root, tmp_path, tiny_weights):
    arguments = [
        "eval", "-d", "rain100l", "--data-root", root, "-w", tiny_weights, "--json", "-q",
        "--device", "cpu",
    ]  # fmt: skip
    env = environment(tmp_path)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    one, two = (
        subprocess.run(
            [command()[0], *start, "-m", "drcnet_cli", *map(str, arguments)],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120,
        )
        for start in ([], launcher)
    )  # fmt: skip
    (alone,), (shared,) = records(one), records(two)
    for record in (alone, shared):
        del record["means"]["seconds"]
        for image in record["images"]:
            del image["seconds"]
    assert alone == shared


def test_pairs_of_one_s_own(drcnet, root, tiny_weights):
    folder = root / "PolyU"
    (record,) = records(
        drcnet(
            "eval", "--task", "denoise", "--lq", folder / "input", "--gt", folder / "target",
            "-w", tiny_weights, "--json", "-q", "--limit", 1,
        )
    )  # fmt: skip
    assert len(record["images"]) == 1
    assert record["complete"]
    assert record["means"]["input_psnr"] == pytest.approx(27, abs=1)


def test_the_default_checkpoint_is_the_task_s(drcnet, root):
    (record,) = records(
        drcnet("eval", "-d", "polyu", "--data-root", root, "--limit", 1, "--json", "-q")
    )
    assert record["setting"]["checkpoint"].startswith("drcnet-s-denoise")


def test_one_network_for_any_damage_and_one_for_rain_on_the_same_sets(drcnet, root, tiny_weights):
    Image.new("RGB", (20, 24), (90, 120, 40)).save(root / "0.png")
    (root / "CBSD68").mkdir()
    (root / "0.png").rename(root / "CBSD68" / "0.png")
    sets = ["eval", "-d", "cbsd68-varying,rain100l-rgb", "--data-root", root, "--json", "-q"]
    varying, rain = records(drcnet(*sets, "--task", "auto", "-w", tiny_weights))
    assert varying["means"]["input_psnr"] == pytest.approx(18.9, abs=1)  # of sigma 0, 15, 25, 50
    assert rain["protocol"]["psnr_channel"] == "rgb"
    (again,) = records(
        drcnet(
            "eval", "-d", "rain100l-rgb", "--data-root", root, "-m", "drcnet-s-derain", "--json",
            "-q", "--limit", 1,
        )
    )  # fmt: skip
    assert again["setting"]["checkpoint"] == "drcnet-s-derain"


def test_a_damaged_picture_is_named_and_the_others_measured(drcnet, root, tiny_weights):
    broken = root / "PolyU" / "input" / "1.png"
    broken.write_bytes(broken.read_bytes()[:200])
    result = drcnet(
        "eval", "-d", "polyu", "--data-root", root, "-w", tiny_weights, "--markdown", "s.md",
        "--html", "s.html",
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.count("1.png: ") == 1
    for page in ("s.md", "s.html"):
        text = (root.parent / page).read_text(encoding="utf-8")
        assert text.count("1 of 2 pictures could not be measured: 1.png: ") == 1
    assert "PolyU: 1 picture," in result.stdout


def test_a_set_without_public_targets_is_made_ready_to_be_submitted(drcnet, tmp_path, tiny_weights):
    blocks = np.random.default_rng(0).integers(0, 256, (1, 2, 16, 16, 3), dtype=np.uint8)
    write_mat5(tmp_path / "BenchmarkNoisyBlocksSrgb.mat", BenchmarkNoisyBlocksSrgb=blocks)
    arguments = ["eval", "-d", "sidd-benchmark", "--data-root", tmp_path, "-w", tiny_weights]
    without = drcnet(*arguments)
    assert without.returncode == 2
    assert "--out" in without.stderr
    scored = drcnet(*arguments, "--out", "mine", "--csv", "scores.csv")
    assert scored.returncode == 2
    assert "no scores to write" in scored.stderr
    result = drcnet(*arguments, "--out", "mine")
    assert result.returncode == 0, result.stderr
    assert "not public" in result.stderr
    written = loadmat(tmp_path / "mine" / "SubmitSrgb.mat")["DenoisedBlocksSrgb"]
    restored = drcnet_cli.restore_image(blocks[0, 1], model=str(tiny_weights))
    assert np.abs(written[0, 1].astype(int) - restored).max() <= 1


@pytest.mark.parametrize(
    ("flag", "name"), [("--csv", "a.csv"), ("--markdown", "a.md"), ("--html", "a.html")]
)
def test_a_file_that_cannot_be_written_is_said_after_the_scores(
    drcnet, root, tiny_weights, flag, name
):
    result = drcnet(
        "eval", "-d", "polyu", "--data-root", root, "-w", tiny_weights, flag,
        root / "PolyU" / "input" / "0.png" / name,
    )  # fmt: skip
    assert result.returncode == 1
    assert "PolyU: 2 pictures" in result.stdout
    assert "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--dataset NAME"),
        (["-d", "rain100l"], "--data-root"),
        (["-d", "rain100", "--data-root", "data"], "rain100l"),
        (["-d", "gopro", "--data-root", "data"], "GOPRO_Large"),
        (["-d", "rain100l", "--data-root", "nowhere"], "nowhere"),
        (["-d", "rain100l", "--reproduce", "--data-root", "data"], "cannot be combined"),
        (["--lq", "data/PolyU/input"], "--gt"),
        (["--lq", "data/PolyU/input", "--gt", "data/PolyU/target"], "--task"),
        (["--reproduce", "--data-root", "data/PolyU/input"], "No data set"),
        (["-d", "polyu", "--data-root", "data", "--task", "derain"], "Leave out --task"),
        (["-d", "polyu", "--data-root", "data", "--protocol", "mine"], "best or paper"),
        (["-d", "polyu", "--data-root", "data", "--protocol", "paper", "--tile", "64"], "--tile"),
        (["-d", "polyu", "--data-root", "data", "-m", "drcnet-s-derain"], "derain"),
        (["-d", "polyu", "--data-root", "data", "--html", "page.txt"], ".html"),
        (["-d", "polyu", "--data-root", "data", "--out", "mine"], "Leave out --out"),
        (
            ["-d", "polyu", "--data-root", "data", "--seed", "3"],
            "--seed is for pictures degraded here",
        ),
        ([*OWN, "--seed", "0"], "--seed is for pictures degraded here"),
        ([*OWN, "--out", "mine"], "Leave out --out"),
        ([*OWN, "--data-root", "data"], "--data-root is for data sets"),
        (["-d", "polyu", "--data-root", "data", "--csv", "data/PolyU/input/0.png"], ".csv"),
        (["-d", "polyu", "--data-root", "data", "--csv", "data"], "is a folder"),
        (["-d", "polyu", "--data-root", "data", "--markdown", "data/PolyU/input/0.png"], ".md"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_sentence(drcnet, root, arguments, said):
    result = drcnet("eval", *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not result.stdout


def test_the_list_says_where_to_get_each_set(drcnet):
    listed = [json.loads(line) for line in drcnet("eval", "--list", "--json").stdout.splitlines()]
    assert {"rain100l", "sidd", "dnd", "gopro", "cbsd68-25"} <= {item["name"] for item in listed}
    text = drcnet("eval", "--list").stdout
    assert all(item["where"] in text for item in listed)
