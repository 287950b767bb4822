"""Verified metadata: signatures, releases of an app, the cheapest route to one.

Decides without touching the install. In the client, python-tuf is used here only.
"""
