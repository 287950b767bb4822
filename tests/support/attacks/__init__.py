"""Attackers, their victim, and every parser they may reach."""
