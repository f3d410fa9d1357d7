"""What options say together."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from drcnet_cli.cli._options import choose_checkpoint
from drcnet_cli.errors import UsageError, WeightsError
from drcnet_cli.weights.manifest import load_manifest


def test_the_best_effort_takes_another_checkpoint_than_the_task_alone():
    assert choose_checkpoint("denoise", None, None) == "denoise"
    best = load_manifest().by_name(str(choose_checkpoint("denoise", None, None, "best")))
    assert (best.task, best.effort, best.default) == ("denoise", "best", False)
    with pytest.raises(WeightsError, match="no best checkpoint for deblur"):
        choose_checkpoint("deblur", None, None, "best")


@pytest.mark.parametrize("named", [("drcnet-s-denoise", None), (None, Path("a.safetensors"))])
def test_an_effort_and_a_checkpoint_contradict_each_other(named):
    assert choose_checkpoint("denoise", *named) == (named[0] or named[1])
    with pytest.raises(UsageError, match="named"):
        choose_checkpoint("denoise", *named, "best")


def test_an_unknown_effort_is_refused():
    with pytest.raises(UsageError, match="no effort 'most'"):
        choose_checkpoint("denoise", None, None, "most")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("restore --task den", {"denoise"}),
        ("restore --model drcnet-m", {"drcnet-m-denoise"}),
        ("eval --dataset rain100", {"rain100h", "rain100l", "rain100l-rgb"}),
        ("eval --dataset polyu,rain100h", {"polyu,rain100h"}),
    ],
)
def test_a_shell_is_offered_names(typed, offered, tmp_path):
    start = "import sys; sys.argv = ['drcnet']; from drcnet_cli.cli.app import main; main()"
    words = f"drcnet {typed}"
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(typed.count(" ") + 1)}
    done = subprocess.run(
        [sys.executable, "-c", start],
        env=environment(tmp_path, _DRCNET_COMPLETE="complete_bash", **asked),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert set(done.stdout.split()) == offered, done.stderr
