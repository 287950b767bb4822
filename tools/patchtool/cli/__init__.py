"""The `patchtool` command: one parser, and a module of handlers for each noun."""
