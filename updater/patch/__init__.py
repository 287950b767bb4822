"""Old files and a patch become new files, each hashed while it is written.

Knows no network, no trust and no State.
"""
