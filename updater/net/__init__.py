"""Bytes from a server: HTTP, downloads that resume, addresses without secrets, a minimum rate.

`requests` is used here only.
"""
