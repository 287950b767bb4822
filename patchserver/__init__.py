"""Serves a repository of releases and patches over HTTP."""

from patchserver.flask_app import create_app
from patchserver.ops.server_settings import Settings

__all__ = ["Settings", "create_app"]
