"""Evaluations with figures of their own, for tests of what is made of them."""

from drcnet_cli.evaluation.results import Evaluation, ImageScore, Setting
from drcnet_cli.tasks import Protocol

SETTING = Setting("net", "0" * 64, "cpu", "float32", "tile 64", False, "0.1.0", "2.13.0")


def image(name, psnr, input_psnr=20.0, **more):
    return ImageScore(name, 40, 30, psnr, 0.9, input_psnr, 0.5, 0.1, **more)


def evaluation(*images, **more):
    given = {
        "benchmark": "rain100l", "title": "Rain100L", "task": "derain", "expected": None,
        "protocol": Protocol(),
    }  # fmt: skip
    return Evaluation(setting=SETTING, images=images, **{**given, **more})
