"""Searching: worlds are drawn, those that break are made smaller, and the result is told."""
