"""Measuring checkpoints as the literature does: protocols, scores, tables and pages of them."""
