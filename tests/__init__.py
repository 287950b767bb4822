"""The tests: folders like the product's, and folders for what goes through several of its parts.

A test module imports `tests.support` and never another test module; a fixture that several modules
of a folder use stands in its `conftest.py`.
"""
