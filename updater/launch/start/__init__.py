"""The start of an application: what waits is committed, a new version is watched and judged.

Standard library only.
"""
