"""Where new bytes are found in old ones, within the memory that is given.

Imported by `diff` only.
"""
