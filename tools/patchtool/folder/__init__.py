"""Folders on the machine that builds: scanned, copied, kept apart while they are unfinished."""
