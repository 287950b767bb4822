"""Accounts: users, their tokens, the audit log, and networks that are trusted."""
