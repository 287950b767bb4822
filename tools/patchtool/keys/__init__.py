"""Signing keys: their files, their roles, root documents, and the clock of who signs."""
