"""Pages of the dashboard, with a browser and without."""
