"""Schema and migrations, on every kind of database."""
