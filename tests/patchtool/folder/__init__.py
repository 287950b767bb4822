"""Release folders: what is read from them, and written."""
