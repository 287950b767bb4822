"""Commits of an update: journal, swap, recovery, rollback."""
