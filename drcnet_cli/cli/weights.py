"""`drcnet weights`: list, pull, verify, path, import and publish checkpoints."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from drcnet_cli.cli._options import HubRepoOption, JsonOption, OfflineOption, QuietOption
from drcnet_cli.cli._output import note, print_json, print_table
from drcnet_cli.errors import EXIT_WEIGHTS, UsageError
from drcnet_cli.weights import fetch
from drcnet_cli.weights.manifest import load_manifest

app = typer.Typer(no_args_is_help=True, help="List, download, check and publish checkpoints.")


@app.command("list")
def list_checkpoints(hub_repo: HubRepoOption = None, as_json: JsonOption = False) -> None:
    """List the known checkpoints, and where each one can be had."""
    found = [(item, fetch.locate(item, hub_repo)) for item in load_manifest().checkpoints]
    if as_json:
        print_json([asdict(item) | {"where": where} for item, where in found])
        return
    rows = []
    for item, where in found:
        size, default = f"{item.bytes / 1e6:.1f} MB", "yes" if item.default else ""
        rows.append((item.name, item.task, size, where, default, item.licence))
    print_table(("name", "task", "size", "where", "default", "licence"), rows, whole=range(5))


@app.command()
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Checkpoints or tasks.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that the manifest lists.")] = False,
    hub_repo: HubRepoOption = None,
    offline: OfflineOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Download checkpoints that are not on this machine yet, and print their paths."""
    if bool(names) == everything:
        raise UsageError(
            "Name the checkpoints to download, or all of them with --all.",
            f"Known checkpoints: {', '.join(load_manifest().names)}",
        )
    progress = None if quiet else note
    paths = {}
    for name in names or load_manifest().names:
        found = fetch.resolve(name, hub_repo=hub_repo, offline=offline, progress=progress)
        paths[name] = str(found.path)
        if not as_json:
            typer.echo(found.path)
    if as_json:
        print_json(paths)


@app.command()
def verify(as_json: JsonOption = False) -> None:
    """Compare all bundled and downloaded files with the manifest.

    The exit code is 3 if a file is damaged, or a bundled one missing.
    """
    reports = fetch.verify()
    if as_json:
        print_json([asdict(report) | {"path": str(report.path)} for report in reports])
    else:
        rows = [(item.name, item.place, item.state, str(item.path)) for item in reports]
        print_table(("name", "place", "state", "file"), rows, whole=range(3))
    if any(item.state == "damaged" or item.is_lost for item in reports):
        raise typer.Exit(EXIT_WEIGHTS)


@app.command()
def path(name: Annotated[str, typer.Argument(help="A checkpoint or a task.")]) -> None:
    """Print the path of a checkpoint that is on this machine; downloads nothing."""
    typer.echo(fetch.resolve(name, offline=True).path)


@app.command("import")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A file that the manifest knows by its sha256.")],
    quiet: QuietOption = False,
) -> None:
    """Put a checkpoint that was fetched by hand where it will be found, and print its path."""
    found = fetch.import_file(file)
    if found.checkpoint and not quiet:
        note(f"{file} is {found.checkpoint.name}")
    typer.echo(found.path)


@app.command()
def publish(
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Hub repository to fill.")],
    private: Annotated[bool, typer.Option("--private", help="Create it as private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and list only.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Upload all checkpoints, the manifest and a model card in one commit, and print its hash."""
    # Imports huggingface_hub, which takes a while.
    from drcnet_cli.weights.publish import publish as upload

    progress = None if quiet else note
    done = upload(repo, private=private, dry_run=dry_run, progress=progress)
    if as_json:
        report = {"repo": done.repo, "commit": done.commit, "files": done.files}
        print_json(report | {"hub": done.hub_entries()})
        return
    for name, size in done.files.items():
        typer.echo(f"{size:>12,}  {name}")
    if done.commit is None:
        return
    typer.echo(done.commit)
    if not quiet:
        note("Now write this commit into weights.json, as each checkpoint's `hub`:")
        for line in json.dumps(done.hub_entries(), indent=2).splitlines():
            note(line)
