"""Handing jobs out to processes, whatever they compute."""
