"""Upkeep of a repository: pruned, copied to where it is served, watched for unpublished work."""
