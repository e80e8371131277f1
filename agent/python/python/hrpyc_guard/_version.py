"""The version of this package: that of the programs it belongs to."""

__version__ = "0.1.0"
