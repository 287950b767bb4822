"""Signing keys: their files, their roles, root documents, and the clock of who signs.

Imported by `repository` and everything above it.
"""
