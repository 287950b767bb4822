"""Parts of the embedded server."""
