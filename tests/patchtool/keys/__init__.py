"""Keys, their passwords, roots, and the clock that signs."""
