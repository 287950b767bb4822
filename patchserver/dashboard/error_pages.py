"""Error pages for people, and the headers that protect their browsers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response, current_app, flash, request, url_for
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import BadRequest, HTTPException

from patchserver.web.error_answers import is_outage, log_outage
from updater.errors import UpdaterError

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_WORDS = {
    400: "The server did not understand that.",
    401: "Sign in first.",
    403: "You may not do this.",
    404: "There is no such page.",
    405: "This page cannot be asked for like that.",
    413: "That was too much.",
    429: "Too many tries. Wait a little and try again.",
}
_EXPIRED = (
    "This form is of a session that ended, or the browser keeps no cookies for this site: "
    "they need HTTPS, except on this very machine. Go back, reload the page and try again."
)
_OUTAGE = "The server cannot do this now. Its log says why."


def page(error: HTTPException) -> Response:
    """Show an error as a page."""
    if isinstance(error, CSRFError):
        return _page(_EXPIRED, 400)
    status = error.code or 500
    response = _page(_WORDS.get(status, _OUTAGE), status)
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def outage(error: UpdaterError) -> Response:
    """The repository or the database cannot be read."""
    log_outage(error)
    response = _page(_OUTAGE, 503)
    response.headers["Retry-After"] = "10"
    return response


@contextmanager
def flashing(done: str) -> Iterator[None]:
    """Show on the next page that a change was made, or why it was not."""
    try:
        yield
    except UpdaterError as error:
        flash(words(error), "bad")
    else:
        flash(done, "good")


def words(error: UpdaterError) -> str:
    """An error for people; what the machine says of itself stays in the log."""
    if is_outage(error):
        log_outage(error)
        return _OUTAGE
    return f"{error}; {error.hint}" if error.hint else str(error)


def field(name: str, most: int = 1000) -> str:
    """A field of the form that was sent.

    Raises:
        BadRequest: it is missing, or longer than any that is meant.
    """
    value = request.form.get(name)
    if value is None or len(value) > most:
        raise BadRequest
    return value


def refuse_what_no_database_takes() -> None:
    """Refuse characters that nothing of ours has; PostgreSQL would fail at them."""
    said = [*(request.view_args or {}).values(), *request.args.values(), *request.form.values()]
    if any("\0" in value for value in said):
        raise BadRequest


def protect(response: Response) -> Response:
    """Tell the browser what these pages never do."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    return response


def _page(message: str, status: int) -> Response:
    """A page that needs nothing else to work: no account, no database."""
    template = current_app.jinja_env.get_template("dashboard/error.html")
    home = url_for("dashboard.index")
    return Response(template.render(message=message, status=status, home=home), status)
