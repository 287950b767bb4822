"""Doctor: find what will go wrong with a repository before clients meet it. Writes nothing."""
