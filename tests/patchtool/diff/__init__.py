"""Patches: renames, blocks, views, and the proof that a patch gives the whole tree."""
