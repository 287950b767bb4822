"""Accounts: users, their tokens, the audit log, and networks that are trusted.

Imported by `rollouts`, `web` and the dashboard.
"""
