"""The command `updater`."""
