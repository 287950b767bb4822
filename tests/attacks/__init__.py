"""Attackers end to end: on metadata, patches, keys, the network and the server."""
