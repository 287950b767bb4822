"""Names of public files, and how long each may be kept."""
