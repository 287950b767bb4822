"""Limits of requests."""
