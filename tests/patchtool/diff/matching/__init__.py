"""Matches between old and new bytes."""
