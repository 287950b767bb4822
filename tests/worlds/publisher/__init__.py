"""Worlds of a publisher: commands, folders, hosts, mishaps."""
