"""Folders that a command reads, wherever they are."""

from pathlib import Path

from drcnet_cli.files.addresses import Address, is_address
from drcnet_cli.files.spelling import as_meant


def folder_here(text: str | None, quiet: bool) -> Path | None:
    """Return the folder that an option names; of an address, a copy in the cache, with a bar."""
    if text is None or not is_address(text):
        return None if text is None else Path(as_meant(text))
    from drcnet_cli.cli._progress import Bar
    from drcnet_cli.files.copies import copied_here
    from drcnet_cli.imageio import is_image_name

    with Bar(shown=not quiet) as bar:
        return copied_here(text, is_image_name, bar.follow("copying"))


def shown_folder(text: str | None, here: Path) -> str:
    """Name the folder for people: an address as it was given, without secrets, not its copy."""
    return str(Address(text)) if text and is_address(text) else str(here)
