"""Requests and downloads over connections that break in every way."""
