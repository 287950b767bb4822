"""The one place that names this distribution's version, and the time before which it was not."""

__version__ = "0.1.0"

BUILT = 1_767_225_600
"""Seconds since 1970 (2026-01-01): no clock that says less is believed. Set when a version is
released, to a time before that: one too early protects a little less, one too late would take
metadata that is valid for expired."""
