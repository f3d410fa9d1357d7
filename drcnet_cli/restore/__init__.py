"""Restoring: tiles, networks run over them, and pipelines over many files."""
