"""upswap: an updater for installed applications."""
