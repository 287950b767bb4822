"""The header of a patch: its values, and their bytes in columns.

Pure. Imported by `patch` and by whatever builds or reads a patch.
"""
