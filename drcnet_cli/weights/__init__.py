"""Which checkpoints exist (manifest) and how a verified file of each is found (fetch)."""
