"""Disks, processes and machines that stop in the middle."""
