"""Deltas: blocks, control numbers, views."""
