"""Serves a repository of releases and patches over HTTP."""

from patchserver.flask_app import create_app
from patchserver.ops.server_settings import ServerSettings

__all__ = ["ServerSettings", "create_app"]
