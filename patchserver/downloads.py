"""``/metadata/`` and ``/targets/``: the files of the repository, whole or in part."""

from __future__ import annotations

from typing import IO, cast

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import NotFound, PreconditionFailed, ServiceUnavailable
from werkzeug.http import http_date
from werkzeug.wsgi import wrap_file

from patchserver.ranges import requested_range, unchanged
from patchserver.repository import OpenFile, Repository, Section

blueprint = Blueprint("downloads", __name__)


@blueprint.get("/<any(metadata, targets):area>/<path:name>")
def download(area: str, name: str) -> Response:
    """Answer with a public file of the repository."""
    file = _open(f"{area}/{name}")
    try:
        return _answer(file)
    except BaseException:
        file.stream.close()
        raise


def _open(name: str) -> OpenFile:
    repository: Repository = current_app.extensions["repository"]
    try:
        return repository.open(name)
    except FileNotFoundError as error:
        raise NotFound from error
    except OSError as error:
        # Never 404: to a client looking for the next root, that means there is none.
        current_app.logger.error("cannot open %s: %s", name, error)  # noqa: TRY400
        raise ServiceUnavailable from error


def _answer(file: OpenFile) -> Response:
    response = Response(content_type=file.public.content_type, direct_passthrough=True)
    response.headers["Cache-Control"] = file.public.cache_control
    response.accept_ranges = "bytes"
    _check_conditions(response, file)
    if response.status_code == 304:
        file.stream.close()
    else:
        _attach(response, file, _range(file))
    return response


def _check_conditions(response: Response, file: OpenFile) -> None:
    """Set the validators and decide between 200, 304 and 412."""
    response.set_etag(file.etag)
    if file.public.immutable:
        response.headers["Last-Modified"] = http_date(file.mtime)
    response.make_conditional(request.environ)
    if response.status_code == 412:
        raise PreconditionFailed
    # Set late, so that only the tag validates what changes in place: dates have whole
    # seconds, and one may go back when a repository is restored from a copy.
    response.headers["Last-Modified"] = http_date(file.mtime)


def _range(file: OpenFile) -> range | None:
    validators = {f'"{file.etag}"'}
    if file.public.immutable:
        validators.add(http_date(file.mtime))
    if request.method != "GET" or not unchanged(
        request.headers.get("If-Range"), frozenset(validators)
    ):
        return None
    return requested_range(request.headers.get("Range"), file.size)


def _attach(response: Response, file: OpenFile, part: range | None) -> None:
    """Let the response send ``part`` of the file, or all of it, and close it in the end."""
    if part is None:
        part = range(file.size)
    else:
        response.status_code = 206
        response.content_range = f"bytes {part.start}-{part.stop - 1}/{file.size}"
    response.content_length = len(part)
    section = Section(file.stream, part.start, len(part))
    response.response = wrap_file(request.environ, cast("IO[bytes]", section))
