"""Patches applied, in parallel and within a memory bound."""
