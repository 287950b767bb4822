"""HTTP around the services: the API, downloads, access, cookies, limits of requests.

Imported by the Flask application and the dashboard.
"""
