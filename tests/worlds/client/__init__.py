"""Worlds of an install: its releases, its users, its machine."""
