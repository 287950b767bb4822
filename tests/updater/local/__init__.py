"""Settings, owners and identity of an install, and its restart."""
