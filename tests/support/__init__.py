"""Helpers of the tests; none of them holds a test."""
