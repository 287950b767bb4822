"""When this process began, as far as this package knows: when it was imported."""

from time import time

BEGAN = time()
"""Seconds since 1970."""
