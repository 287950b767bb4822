"""The repository folder: what clients see of it, and how it is changed.

python-tuf is used here and in `keys`.
"""
