"""What one install keeps on this machine: settings, identity, the launcher, and its session.

Imported by `reports`, `update` and the client.
"""
