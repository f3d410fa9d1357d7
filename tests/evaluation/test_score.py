"""Scoring a suite: order, failures, protocols, several processes."""

import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from training_helpers import write_picture

from drcnet_cli import metrics
from drcnet_cli.datasets.search import Case
from drcnet_cli.datasets.suite import Suite
from drcnet_cli.errors import ImageError, NonFiniteError, UsageError
from drcnet_cli.evaluation import session
from drcnet_cli.evaluation.processes import Processes, join_processes
from drcnet_cli.evaluation.score import load_lpips, score_suite
from drcnet_cli.imageio.pixels import to_uint8
from drcnet_cli.tasks import Protocol


class Brighten:
    """Stands for a restorer: adds a constant, and remembers what it was given."""

    dtype_is_open = True

    def __init__(self, fails=()):
        self.given = []
        self.settled = 0
        self.fails = fails

    def settle_dtype(self, pixels):
        self.settled += 1

    def restore(self, pixels):
        assert threading.current_thread() is threading.main_thread()  # one network, one user
        self.given.append(pixels)
        if len(self.given) in self.fails:
            raise NonFiniteError("not finite", "")
        if pixels.dtype == np.uint8:
            return (pixels.astype(int) + 7).clip(0, 255).astype(np.uint8)
        return (pixels + np.float32(0.3 / 255)).clip(0, 1)


def suite_of(count, size=(24, 20)):
    rng = np.random.default_rng(0)
    pictures = [
        tuple(rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(2))
        for _ in range(count)
    ]
    return Suite(
        tuple(Case(f"{n}.png", lambda pair=pair: pair) for n, pair in enumerate(pictures)), "memory"
    ), pictures


def test_scores_are_the_metrics_of_each_picture_in_order():
    suite, pictures = suite_of(5)
    told = []
    scores, failed = score_suite(
        suite, Brighten(), Protocol("y", "y", "replicate"), progress=lambda *n: told.append(n)
    )
    assert not failed
    assert told == [(n, 5) for n in range(1, 6)]
    for number, (score, (degraded, target)) in enumerate(zip(scores, pictures, strict=True)):
        restored = (degraded.astype(int) + 7).clip(0, 255).astype(np.uint8)
        assert score.name == f"{number}.png"
        assert (score.width, score.height) == (20, 24)
        assert score.psnr == metrics.psnr(restored, target, channel="y")
        assert score.ssim == metrics.ssim(restored, target, channel="y", variant="replicate")
        assert score.input_psnr == metrics.psnr(degraded, target, channel="y")
        assert score.lpips is None


def test_a_protocol_without_rounding_restores_in_floating_point():
    suite, pictures = suite_of(1)
    restorer = Brighten()
    scores, _ = score_suite(suite, restorer, Protocol(rounded=False))
    assert restorer.given[0].dtype == np.float32
    degraded, target = (pixels.astype(np.float32) / 255 for pixels in pictures[0])
    raised = (degraded + np.float32(0.3 / 255)).clip(0, 1)
    assert scores[0].psnr == metrics.psnr(raised, target, rounded=False)
    assert scores[0].psnr != metrics.psnr(raised, target)


def test_noise_beyond_the_range_reaches_the_network_but_not_the_score():
    target = np.full((16, 16, 3), 250, np.uint8)
    noisy = np.full((16, 16, 3), 1.2, np.float32)
    restorer = Brighten()
    suite = Suite((Case("a", lambda: (noisy, target)),), "")
    scores, _ = score_suite(suite, restorer, Protocol())
    assert restorer.given[0].max() == np.float32(1.2)
    assert scores[0].input_psnr == metrics.psnr(to_uint8(noisy), target)


def test_failures_are_told_and_the_others_scored():
    suite, pictures = suite_of(5)

    def damaged():
        raise ImageError("b.png is cut off.", "")

    small = pictures[2][1][:8]
    cases = list(suite.cases)
    cases[1] = Case("b.png", damaged)
    cases[2] = Case("c.png", lambda: (pictures[2][0], small))
    cases[4] = Case("e.png", lambda: (pictures[4][0], None))
    scores, failed = score_suite(Suite(tuple(cases), ""), Brighten(fails=(3,)), Protocol())
    assert [score.name for score in scores] == ["0.png"]
    assert len(failed) == 4
    for name, sentence in zip(("b.png", "c.png", "3.png", "e.png"), failed, strict=True):
        assert name in sentence


def test_the_number_type_is_settled_by_the_first_picture_in_every_process():
    class Alone(Processes):
        def gather(self, mine):
            return mine  # what the others have is no matter here

    suite, _ = suite_of(3)
    restorers = [Brighten(), Brighten()]
    for index, restorer in enumerate(restorers):
        score_suite(suite, restorer, Protocol(), processes=Alone(index, 2))
    assert [restorer.settled for restorer in restorers] == [1, 1]
    assert [len(restorer.given) for restorer in restorers] == [2, 1]


def test_every_item_is_one_process_s():
    shares = [Processes(index, 3).mine("abcdefgh") for index in range(3)]
    assert sorted(item for share in shares for item in share) == list(enumerate("abcdefgh"))


def test_one_process_needs_no_launcher(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_processes("cpu") == Processes()
    assert Processes().gather([1]) == [1]
    assert Processes(1, 2, 1).device("cpu") == "cpu"


def test_pictures_are_given_in_the_range_that_the_package_wants(monkeypatch):
    made = []

    class Lpips(torch.nn.Module):
        def __init__(self, **options):
            super().__init__()
            made.append(options)

        def forward(self, first, second):
            assert first.shape == (1, 3, 4, 5)
            assert (float(first.min()), float(first.max())) == (-1.0, 1.0)
            return (first - second).abs().mean().reshape(1, 1, 1, 1)

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=Lpips))
    distance = load_lpips(torch.device("cpu"))
    image = np.zeros((4, 5, 3), np.uint8)
    image[0, 0] = 255
    assert distance(image, image) == 0
    assert distance(image, 255 - image) == pytest.approx(2)
    assert made == [{"net": "alex", "verbose": False}]


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UsageError, match="lpips") as caught:
        load_lpips(torch.device("cpu"))
    assert "pip install" in caught.value.hint


def test_sets_that_no_checkpoint_here_is_for_are_named(tmp_path, monkeypatch):
    for side in ("hazy/1_1.png", "gt/1.png"):
        write_picture(tmp_path / "SOTS_indoor" / side, 1, 8, 8)
    monkeypatch.setattr(session, "_checkpoints_here", lambda _task: [])
    with pytest.raises(UsageError, match="No checkpoint for SOTS indoor is on this machine"):
        session.plan_everything(tmp_path, None)
    (plan,) = session.plan_everything(tmp_path, tmp_path / "mine.safetensors")
    assert (plan.test_set.task, plan.test_set.title) == ("dehaze", "SOTS indoor")


def test_networks_for_any_damage_are_measured_on_airnets_sets(tmp_path, monkeypatch):
    write_picture(tmp_path / "CBSD68" / "1.png", 1, 8, 8)
    write_picture(tmp_path / "Kodak24" / "1.png", 1, 8, 8)
    for side in ("input", "target"):
        write_picture(tmp_path / "Rain100L" / side / "1.png", 1, 8, 8)
    monkeypatch.setattr(session, "_checkpoints_here", lambda task: [f"for-{task}"])
    plans = session.plan_everything(tmp_path, None)
    by_checkpoint = {}
    for plan in plans:
        by_checkpoint.setdefault(plan.checkpoint, []).append(plan.test_set.name)
    noise = [f"cbsd68-{kind}" for kind in (15, 25, 50, "varying")]
    assert by_checkpoint["for-auto"] == ["rain100l-rgb", *noise]
    assert by_checkpoint["for-derain"] == ["rain100l"]
    assert by_checkpoint["for-denoise"] == [*noise, *(f"kodak24-{level}" for level in (15, 25, 50))]
    alone = session.plan_everything(tmp_path, None, task="auto")
    assert [plan.checkpoint for plan in alone] == ["for-auto"] * 5
