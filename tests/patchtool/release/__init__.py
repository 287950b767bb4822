"""Releases: added, offered, refreshed, withdrawn."""
