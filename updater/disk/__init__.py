"""Durable changes to a disk, locks, permissions, small documents.

Standard library only, because the launcher carries it.
"""
