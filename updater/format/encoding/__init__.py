"""Encodings of documents: canonical JSON, integers, compressed streams, and every limit.

Pure: no files, no network, no clock.
"""
