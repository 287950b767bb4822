"""The repository folder: its writer, its commit point, its copies."""
