"""DRCNet (ECCV 2022): its network, other forms of it, and its released checkpoints."""
