"""Code that must run when the application cannot: journal, swap, recovery, launcher.

Standard library only: a half-swapped tree may hold the interpreter's packages, or ours.
"""
