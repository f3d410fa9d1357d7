"""Finishing results, which has become a matter of files: `drcnet_cli.files.finisher`."""

from drcnet_cli.files.finisher import Finisher, open_finisher, recipe

__all__ = ["Finisher", "open_finisher", "recipe"]
