"""From an upload to what clients see: pushes, their rules, a canary, the signature.

patchtool signs; `signer` is the door to it.
"""
