"""Staged rollouts: reports of installs, and the halt that follows from failures."""
