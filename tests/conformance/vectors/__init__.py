"""Vectors of docs/format.md, for other implementations too, and the program that writes some."""
