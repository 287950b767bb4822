"""Changes of keys: first keys and recovery kits, rotation, and the drill that rehearses a loss."""
