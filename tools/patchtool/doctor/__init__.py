"""What will go wrong with a repository, told before clients meet it. Writes nothing.

Imported by the command.
"""
