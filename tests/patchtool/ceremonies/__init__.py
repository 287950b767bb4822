"""Keys that are rotated, lost and recovered."""
