"""Updates, installs, adoptions, repairs and recalls, over real connections."""
