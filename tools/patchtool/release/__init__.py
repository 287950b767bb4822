"""Releases: added, promoted, paused, recalled, refreshed, and the apps they belong to."""
