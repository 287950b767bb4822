"""The repository folder: what clients see of it, how it is changed, pruned and copied.

python-tuf is used here and in `keys`. Imported by everything that signs or looks.
"""
