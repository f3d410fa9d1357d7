"""Remove rain, noise and motion blur from photographs with DRCNet (ECCV 2022)."""

__version__ = "0.1.0"
