"""What installs report of a version, and whether that halts its rollout.

Imported by the services and the dashboard.
"""
