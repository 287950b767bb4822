"""Matching: find new bytes in old ones, within the memory that is given."""
