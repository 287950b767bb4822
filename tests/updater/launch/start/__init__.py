"""Starts of an application: its launcher, its trial, and updates while it runs."""
