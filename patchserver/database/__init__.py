"""The database: its engine, its tables and how the schema came to be.

Imported by whatever stores something.
"""
