"""Deflate streams: where they are in a file, which parameters of zlib write them again.

`find_streams` looks, `candidates` and `zlib_parameters` serve it.
"""
