"""HTTP around the services: the API, downloads, access, cookies, limits of requests."""
