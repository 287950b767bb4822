"""Reports of failures, and their sending."""
