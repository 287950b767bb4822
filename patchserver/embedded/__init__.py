"""`patchserver serve`: an HTTP server in this process, with the small files in memory."""
