"""Rate limits: requests of one address, and attempts to sign in as one user."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from flask_limiter import Limiter
from limits.errors import ConfigurationError

from patchserver.accounts.networks import network_of
from patchserver.ops.server_settings import Bounds
from patchserver.web.access import person
from updater.errors import MachineError

SIGN_IN = "10/minute"
"""Tries to sign in from one address."""
FAILED = "30/hour"
"""Wrong passwords for one user, from anywhere."""
TOKENS = "30/minute"
"""Bad tokens from one address."""
INTAKE = ("api.checkins", "api.reports")
"""Views that take what anybody sends."""


def start(app: Flask, bounds: Bounds) -> Limiter:
    """Count from now on, before anything else looks at a request.

    Raises:
        InstallError: counts cannot be kept where ``bounds`` says.
    """
    try:
        limiter = Limiter(
            _address,
            app=app,
            storage_uri=bounds.storage,
            strategy="fixed-window",
            in_memory_fallback_enabled=True,
            key_prefix="upswap",
        )
    except ConfigurationError as error:
        hint = "memory://, or redis://HOST:PORT with the Python package redis installed"
        raise MachineError(f"cannot count in {bounds.storage}: {error}", hint=hint) from error
    app.after_request(lambda response: _add_retry_after(limiter, response))
    return limiter


def bound(app: Flask, limiter: Limiter, bounds: Bounds) -> None:
    """Set the limits of the views, which are all there."""
    for endpoint in INTAKE:
        _wrap(app, endpoint, limiter.limit(bounds.rate))
    for endpoint, name in PASSWORDS:
        by_name = limiter.limit(FAILED, key_func=name, deduct_when=_has_failed)
        _wrap(app, endpoint, by_name, limiter.limit(SIGN_IN))
    programs: Any = app.blueprints["api"]  # flask's own type says it is something else
    limiter.limit(TOKENS, deduct_when=_is_unknown)(programs)


def _wrap(app: Flask, endpoint: str, *limits: Callable[[Any], Any]) -> None:
    """Set the limits of a view, the innermost first."""
    view: Any = app.view_functions[endpoint]
    for limit in limits:
        view = limit(view)
    app.view_functions[endpoint] = view


def _address() -> str:
    """The address that asks; of version 6 its network, for one machine has many addresses there."""
    return network_of(request.remote_addr or "", 32, 64)


def _name() -> str:
    """The account whose password is tried; hashed, because it may be of any length."""
    return hashlib.sha256(request.form.get("name", "").encode()).hexdigest()


def _own_name() -> str:
    return hashlib.sha256(person().name.encode()).hexdigest()


PASSWORDS = (("dashboard.enter", _name), ("dashboard.change_password", _own_name))
"""Views that tell whether a password is right, and whose it would be."""


def _has_failed(response: Response) -> bool:
    return response.status_code == 403


def _is_unknown(response: Response) -> bool:
    return response.status_code == 401


def _add_retry_after(limiter: Limiter, response: Response) -> Response:
    limit = limiter.current_limit
    if response.status_code == 429 and limit is not None:
        response.headers.setdefault("Retry-After", str(max(1, int(limit.reset_at - time.time()))))
    return response
