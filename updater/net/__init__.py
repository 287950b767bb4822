"""Bytes from a server: HTTP, downloads that resume, addresses without secrets, a minimum rate.

`requests` is used here only. Imported by `local` and by what makes an update.
"""
