"""Training: configuration, losses and the loop."""
