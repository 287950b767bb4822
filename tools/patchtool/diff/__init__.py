"""From two trees to one patch, proven by applying it before anybody sees it.

Imported by `release` and the command.
"""
