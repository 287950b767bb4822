"""What a failed update tells its publisher, if whoever runs the application agreed.

Imported by `update` and the client.
"""
