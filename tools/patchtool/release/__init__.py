"""Releases: added, promoted, paused, recalled, refreshed, and the apps they belong to.

Imported by `doctor`, the command and the server.
"""
