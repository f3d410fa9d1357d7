"""Measuring checkpoints as the literature does: data sets, protocols, scores, published ones."""
