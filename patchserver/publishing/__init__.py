"""From an upload to what clients see: pushes, their rules, a rehearsal, the signature.

patchtool signs; `signer` is the door to it. Imported by `rollouts`, the services and the pages.
"""
