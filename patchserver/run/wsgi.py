"""``patchserver.run.wsgi:app``: the application for gunicorn and its like, from the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from patchserver.flask_app import create_app
from patchserver.ops.server_settings import settings_from_environment
from patchserver.run.jobs import begin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def drained(app: WSGIApplication) -> WSGIApplication:
    """``app``, which leaves nothing of a body unread, whatever it answers.

    gunicorn would reset the connection, and nginx make a 502 of the answer. nginx has the
    whole body, within its limits, before it passes on any of it.
    """

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = app(environ, start_response)
        while environ["wsgi.input"].read(65536):
            pass
        return answer

    return call


app = create_app(settings_from_environment(os.environ))
begin(app.extensions.get("services"))
app.wsgi_app = drained(app.wsgi_app)  # type: ignore[assignment,method-assign]  # as documented
