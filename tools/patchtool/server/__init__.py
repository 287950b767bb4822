"""A server that signs: pushed to, fetched from, looked at."""
