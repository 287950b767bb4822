"""Playing a world: the commands under test, grounds, one shell, the verdict."""
