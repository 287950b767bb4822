"""Public files of the repository: their names, ranges and responses.

Imported by `embedded`, `publishing` and `web`.
"""
