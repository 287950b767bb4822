"""The commit: journal, file swap, recovery and rollback; each may be interrupted at any call.

Standard library only.
"""
