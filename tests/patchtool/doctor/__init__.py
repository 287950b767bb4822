"""The doctor: what it finds before clients do."""
