"""What the repository offers, and whether to believe it: signatures, releases, the cheapest route.

Decides without touching the install; python-tuf is used here only. Imported by everything that
fetches.
"""
