"""Running a server: its settings, its metrics, its log."""
