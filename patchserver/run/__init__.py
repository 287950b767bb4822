"""The `patchserver` command, its jobs, and the application for other WSGI servers."""
