"""Documents of the format, read and written."""
