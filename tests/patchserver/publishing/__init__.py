"""Pushes, uploads, and what a publisher prunes."""
