"""Build-time tool: turns release folders into signed releases and patches."""
