"""What must run when the application cannot: disk, journal, swap, recovery.

Standard library only: a half-swapped tree may hold the interpreter's packages, or ours.
"""
