"""Serves a repository of releases and patches over HTTP."""

from patchserver.application import create_app

__all__ = ["create_app"]
