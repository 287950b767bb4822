"""Primitives of the disk, and locks."""
