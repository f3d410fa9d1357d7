"""The version, alone: who needs it need not import the package."""

__version__ = "0.1.0"
