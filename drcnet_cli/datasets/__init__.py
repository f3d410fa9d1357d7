"""Data sets on disk, for training and for evaluation."""
