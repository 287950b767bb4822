"""Bytes to bytes: what turns old bytes and a block into new ones, and the views it reads.

Pure: no network, no disk, no trust.
"""
