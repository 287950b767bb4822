"""Encodings of documents: canonical JSON, integers, compressed streams, and every limit.

Pure. Imported by `format` and by whatever reads a document.
"""
