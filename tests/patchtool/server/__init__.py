"""Pushes to a server and copies from it."""
