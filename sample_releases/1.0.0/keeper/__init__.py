"""A note keeper that updates itself."""

__version__ = "1.0.0"
