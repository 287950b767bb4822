"""Running a server: its settings, its metrics, its log.

Imported by everything that answers requests.
"""
