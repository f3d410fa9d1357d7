import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_helpers import environment

from drcnet_cli.errors import UsageError
from drcnet_cli.train.config import PRESETS, build_config, read_toml
from drcnet_cli.train.schedule import (
    Every,
    Timer,
    learning_rate,
    parse_phases,
    phase_at,
)


def test_the_printed_configuration_makes_the_same_one(tmp_path):
    config = build_config(
        {"task": "derain", "clean": ['a "b" \\ ü', "c"], "minutes": 2, "betas": "0.8,0.95"},
        preset="paper",
    )
    (tmp_path / "run.toml").write_text(config.to_toml(), encoding="utf-8")
    assert build_config({}, file=tmp_path / "run.toml") == config
    assert config.clean == ('a "b" \\ ü', "c")
    assert config.betas == (0.8, 0.95)


def test_flags_override_the_file_and_the_file_the_preset(tmp_path):
    (tmp_path / "run.toml").write_text('lr = 3e-4\nalpha = 1\ntask = "denoise"\n')
    config = build_config({"lr": 1e-4, "width": None}, file=tmp_path / "run.toml", preset="paper")
    assert (config.lr, config.alpha, config.width, config.task) == (1e-4, 1.0, 64, "denoise")


def test_the_papers_settings():
    config = build_config({}, preset="paper")
    assert [(p.patch, p.batch) for p in parse_phases(config.patches)] == [(256, 32)]
    assert (config.lr, config.lr_min, config.steps) == (2e-4, 1e-7, 4_000_000)
    assert (config.contrastive, config.alpha, config.negatives) == ("intra", 0.025, 10)
    assert (config.width, config.depth, config.optimizer) == (64, 4, "adam")
    assert set(PRESETS) == {"paper"}


def test_a_budget_given_in_another_unit_replaces_the_presets(tmp_path):
    config = build_config({"minutes": 5.0}, preset="paper")
    assert (config.steps, config.minutes) == (0, 5.0)
    (tmp_path / "run.toml").write_text("minutes = 60\n")
    config = build_config({}, file=tmp_path / "run.toml", preset="paper")
    assert (config.steps, config.minutes) == (0, 60.0)
    config = build_config({"steps": 9}, file=tmp_path / "run.toml", preset="paper")
    assert (config.steps, config.minutes) == (9, 0.0)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"task": "defrost"}, "--task"),
        ({"holdout": 1.0}, "--holdout"),
        ({"lr": 1e-9}, "--lr"),
        ({"lr": math.nan}, "--lr"),
        ({"betas": "0.9"}, "--betas"),
        ({"betas": "a,b"}, "a,b"),
        ({"minutes": -1.0}, "--minutes"),
        ({"minutes": math.inf}, "--minutes"),
        ({"log_every": 0}, "--log-every"),
        ({"patches": "64"}, "64"),
        ({"save_every": "soon"}, "soon"),
        ({"steps": 1.5}, "steps"),
        ({"steps": True}, "steps"),
        ({"compile": 1}, "compile"),
        ({"stepps": 1}, "stepps"),
        ({"clean": [1]}, "clean"),
    ],
)
def test_impossible_settings_are_named(values, word):
    with pytest.raises(UsageError, match=word):
        build_config(values)


def test_unknown_preset_and_bad_files(tmp_path):
    with pytest.raises(UsageError, match="fast"):
        build_config({}, preset="fast")
    with pytest.raises(UsageError, match="cannot be read"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("lr = \n")
    with pytest.raises(UsageError, match="not TOML"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "odd.toml").write_text("learning = 1\n")
    with pytest.raises(UsageError, match=r"odd\.toml"):
        build_config({}, file=tmp_path / "odd.toml")


def test_the_configuration_needs_no_torch():

    code = (
        "import sys, drcnet_cli.train.config, drcnet_cli.cli.train; print('torch' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True)
    assert done.stdout.decode().strip() == "False", done.stderr


@settings(deadline=None)
@given(st.floats(0, 1.5), st.floats(0, 0.5))
def test_the_rate_stays_between_its_ends(used, warmup):
    assert 1e-6 * 0.999 <= learning_rate(used, 1e-3, 1e-6, warmup) <= 1e-3 * 1.001


def test_the_rate_warms_up_and_falls_as_a_cosine():
    rates = [learning_rate(used, 1.0, 0.0, 0.2) for used in (0, 0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert learning_rate(0, 1.0, 0.0, 0.0) == 1.0


def test_phases_share_the_budget():
    phases = parse_phases("64x16:2, 96x8,128x4:1")
    assert [(p.patch, p.batch, p.until) for p in phases] == [
        (64, 16, 0.5),
        (96, 8, 0.75),
        (128, 4, 1.0),
    ]
    assert [phase_at(phases, used, 0).patch for used in (0, 0.49, 0.5, 0.8, 1, 2)] == [
        64, 64, 96, 128, 128, 128,
    ]  # fmt: skip


def test_a_phase_up_to_a_step_comes_before_the_shares():
    phases = parse_phases("32x1@10, 64x2@30,64x16:0.5,96x8:0.5")
    assert [(p.patch, p.batch, p.until_step) for p in phases[:2]] == [(32, 1, 10), (64, 2, 30)]
    # A short run may end within it; a long one leaves it at the step.
    at = [(0, 0.0), (9, 0.9), (10, 0.9), (29, 1.0), (30, 0.01), (30, 0.5), (10**6, 0.1)]
    found = [phase_at(phases, used, step) for step, used in at]
    assert [(p.patch, p.batch) for p in found] == [
        (32, 1), (32, 1), (64, 2), (64, 2), (64, 16), (96, 8), (64, 16),
    ]  # fmt: skip


def test_the_default_opens_with_small_steps():
    opening = parse_phases(build_config({}).patches)[0]
    assert opening.until_step > 0
    assert opening.batch * opening.patch**2 <= 64 * 64 * 2


def test_batches_of_one_have_no_other_images_for_extra():
    with pytest.raises(UsageError, match="64x1"):
        build_config({"contrastive": "extra", "patches": "64x4:0.9,64x1:0.1"})
    assert build_config({"contrastive": "intra", "patches": "64x1"}).patches == "64x1"


@pytest.mark.parametrize(
    "text",
    [
        "", "64", "64x0", "4x4", "64x4:0", "64x4:nan", "64x4:x", "ax4", "64x2@5", "64x2@x,64x4",
        "64x2:1@5,64x4", "64x4,64x2@5",
    ],
)  # fmt: skip
def test_phases_that_are_none(text):
    with pytest.raises(UsageError, match="64x16"):
        parse_phases(text)


def test_timers_by_steps_and_by_minutes():
    by_steps = Timer(Every.parse("3"), 0)
    assert [by_steps.due(step, 0) for step in range(1, 7)] == [False, False, True] * 2
    by_minutes = Timer(Every.parse("0.5m"), 100)
    assert [by_minutes.due(1, at) for at in (110, 129, 130, 131, 161)] == [0, 0, 1, 0, 1]


@pytest.mark.parametrize("text", ["0", "-5", "0m", "infm", "nanm", "x", "", "m", "1h"])
def test_intervals_that_are_none(text):
    with pytest.raises(UsageError, match="10m"):
        Every.parse(text)
