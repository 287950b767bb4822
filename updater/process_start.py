"""The start of this process, as far as this package knows: the time of its import."""

from time import time

BEGAN = time()
"""Seconds since 1970."""
