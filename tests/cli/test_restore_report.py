"""What a run says at its end."""

import sys
from pathlib import Path

import pytest

from drcnet_cli.cli._restore_report import RunOutput
from drcnet_cli.files.addresses import Address
from drcnet_cli.files.plan import Job, PassedOver, Plan
from drcnet_cli.restore.outcome import Outcome


def ended(monkeypatch, capsys, *jobs: Job, terminal: bool = True, quiet: bool = False) -> str:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    plan = Plan(jobs, (), PassedOver(), ())
    RunOutput(plan, "denoise", None, quiet, False).conclude([Outcome(job) for job in jobs], None)
    return capsys.readouterr().err


def test_at_a_terminal_the_end_tells_where_results_are_and_how_to_see_them(monkeypatch, capsys):
    one = Job(Path("a.png"), Path("out/a.png"))
    other = Job(Path("b/b.png"), Path("out/b/b.png"))
    said = ended(monkeypatch, capsys, one)
    assert "In out/a.png; the same command with --report page.html" in said
    assert "In out; the same" in ended(monkeypatch, capsys, one, other)
    stored = [Job(Path("a.png"), Address(f"s3://pictures/out/{n}/a.png")) for n in (1, 2)]
    assert "In s3://pictures/out; the same" in ended(monkeypatch, capsys, *stored)


@pytest.mark.parametrize(
    ("job", "how"),
    [
        (Job(Path("a.png"), Path("b.png")), {"terminal": False}),
        (Job(Path("a.png"), Path("b.png")), {"quiet": True}),
        (Job(Path("a.png"), Path("a.png")), {}),  # in place
    ],
)
def test_elsewhere_it_does_not(monkeypatch, capsys, job, how):
    assert "--report" not in ended(monkeypatch, capsys, job, **how)
