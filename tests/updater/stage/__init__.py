"""Staging: files made whole before anything live is touched."""
