"""Who may use the server: users, tokens, the audit log, networks.

Imported by `rollouts`, `web` and the dashboard.
"""
