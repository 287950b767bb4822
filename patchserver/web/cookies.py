"""Cookies: a session travels by TLS, and only to the host that gave it."""

from __future__ import annotations

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface

NAME = "__Host-upswap"
"""The prefix makes browsers take it by TLS only, from this host, for all of its paths."""
LOCAL_NAME = "upswap-local"
LOCAL = ("localhost", "127.0.0.1", "[::1]")


class Cookies(SecureCookieSessionInterface):
    """Sessions by TLS; and by plain HTTP to the machine the browser runs on, as tunnels end there.

    The host is what the browser believes it talks to: an attacker can name another one in their
    own requests only.
    """

    def get_cookie_name(self, app: Flask) -> str:  # noqa: ARG002 - as flask calls it
        """The name of the cookie."""
        return LOCAL_NAME if _is_local() else NAME

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 - as flask calls it
        """True if TLS only carries it."""
        return not _is_local()


def _is_local() -> bool:
    if request.is_secure:
        return False
    host, _, port = request.host.rpartition(":")
    return (host if port.isdecimal() and host else request.host) in LOCAL
