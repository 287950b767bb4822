"""Encodings below the documents."""
