"""`drcnet doctor`: what this machine has, and what is wrong with it."""

import typer

from drcnet_cli.cli._options import JsonOption
from drcnet_cli.cli._output import note, print_json


def doctor(as_json: JsonOption = False) -> None:
    """Report Python, torch, devices, cache and checkpoints, and warn of what is amiss."""
    from drcnet_cli.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        print_json({**diagnosis.facts, "warnings": diagnosis.warnings})
        return
    for name, value in diagnosis.facts.items():
        if isinstance(value, dict):
            lines = [f"{key}: {item}" for key, item in value.items()]
        else:
            lines = value if isinstance(value, list) else [str(value)]
        for index, line in enumerate(lines):
            typer.echo(f"{name if index == 0 else '':24}{line}")
    for warning in diagnosis.warnings:
        note(f"Warning: {warning}")
