"""The header of a patch: its values, and their bytes in columns.

Pure: no files, no network, no clock.
"""
