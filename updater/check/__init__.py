"""Verified metadata: signatures, releases of an app, the cheapest route to one.

Decides without touching the install; python-tuf is used here only. Imported by everything that
fetches.
"""
