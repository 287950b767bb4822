"""Updates, repairs, first installs and adoptions, from the plan to the commit.

Imported by the client and its command.
"""
