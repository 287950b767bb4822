"""Trust, the route to a version, and what was seen before."""
