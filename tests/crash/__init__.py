"""Interruptions: kills, full and broken disks, power cuts, errors at every change."""
