"""The State of an install; below it commits and starts."""
