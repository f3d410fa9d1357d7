"""Synthetic rain, noise and blur: pure functions of an image, parameters and a seed."""
