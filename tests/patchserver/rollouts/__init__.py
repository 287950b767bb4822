"""Reports of installs, and rollouts that these halt."""
