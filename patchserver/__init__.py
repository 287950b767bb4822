"""Serves a repository of releases and patches over HTTP."""

from patchserver.application import create_app
from patchserver.settings import Settings

__all__ = ["Settings", "create_app"]
