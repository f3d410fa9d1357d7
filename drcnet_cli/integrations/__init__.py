"""This package's checkpoints in other people's programs: a module for each library they share."""
