"""Updates, repairs, first installs and adoptions, from the route to the commit."""
