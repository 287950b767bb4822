"""Public files of the repository: their names, ranges and responses."""
