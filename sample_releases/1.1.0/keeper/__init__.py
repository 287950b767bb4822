"""A note keeper that updates itself."""

__version__ = "1.1.0"
