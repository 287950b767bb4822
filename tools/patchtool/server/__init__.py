"""A server that signs: pushed to, fetched from, looked at.

Imported by `doctor` and the command.
"""
