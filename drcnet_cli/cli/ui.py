"""`drcnet ui`: the page."""

from typing import Annotated

import typer

from drcnet_cli.cli import _options as options
from drcnet_cli.cli._output import note
from drcnet_cli.errors import UsageError

_LOCAL = ("127.0.0.1", "localhost", "::1")


def ui(
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Who may come; 0.0.0.0: anyone.")
    ] = _LOCAL[0],
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")
    ] = 7860,
    auth: Annotated[
        str | None,
        typer.Option(
            "--auth", metavar="NAME[:PASSWORD]", help="Ask visitors for these; NAME alone asks you."
        ),
    ] = None,
    open: Annotated[  # noqa: A002 - the option's name
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    max_files: Annotated[
        int, typer.Option("--max-files", metavar="N", min=1, help="Pictures at a time.")
    ] = 100,
    max_size: Annotated[
        int, typer.Option("--max-size", metavar="MB", min=1, help="Of a picture's file.")
    ] = 200,
    device: options.DevicesOption = "auto",
    dtype: options.DtypeOption = "auto",
    backend: options.BackendOption = "torch",
    threads: options.ThreadsOption = None,
    hub_repo: options.HubRepoOption = None,
    offline: options.OfflineOption = False,
) -> None:
    """Serve a page to restore pictures with: drop, compare under a slider, download.

    It is for this machine alone unless --host is given, and works with no network at all.
    """
    login = _parse_login(auth)
    from drcnet_cli.restore.config import RestoreConfig
    from drcnet_cli.ui.server import PageOptions, serve_page

    base = RestoreConfig(
        device=device, dtype=dtype, backend=backend, hub_repo=hub_repo, offline=offline
    )

    if host not in _LOCAL and login is None:
        note(
            f"WARNING: whoever reaches {host} can use the page, and nobody is asked for a "
            "password: add --auth NAME"
        )

    def ready(address: str) -> None:
        note(f"The page is at {address} (Ctrl-C ends it).")

    try:
        serve_page(base, PageOptions(host, port, login, max_files, max_size, open), ready)
    except KeyboardInterrupt:
        note("Ended; all pictures of the page are deleted.")


def _parse_login(text: str | None) -> tuple[str, str] | None:
    """Read --auth; a password that is left out is asked for."""
    if text is None:
        return None
    name, _, password = text.partition(":")
    if not password:
        password = typer.prompt(f"Password for {name}", hide_input=True, err=True)
    if not name or not password:
        raise UsageError("--auth needs a name and a password.", "Use --auth NAME:PASSWORD")
    return name, password
