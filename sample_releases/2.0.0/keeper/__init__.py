"""A note keeper that updates itself."""

__version__ = "2.0.0"
