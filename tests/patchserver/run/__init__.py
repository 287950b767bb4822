"""Commands of the server, its processes, and the files of `deploy/`."""
