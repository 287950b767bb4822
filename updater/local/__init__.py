"""Files of one install on this machine: settings, identity, launcher; and its session.

Imported by `reports`, `update` and the client.
"""
