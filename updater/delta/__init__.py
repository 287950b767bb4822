"""Bytes to bytes: what turns old bytes and a block into new ones, and the views of files."""
