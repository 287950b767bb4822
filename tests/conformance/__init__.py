"""Conformance: the vectors of our own formats, and the protocol of the public TUF suite."""
