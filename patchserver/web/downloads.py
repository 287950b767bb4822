"""``/metadata/`` and ``/targets/``: the files of the repository, whole or in part."""

from __future__ import annotations

from typing import IO, cast

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import NotFound, ServiceUnavailable
from werkzeug.wsgi import wrap_file

from patchserver.files.public_files import OpenFile, PublicFolder, Section
from patchserver.files.responses import FileResponse, answer
from patchserver.ops.server_settings import ServerSettings
from patchserver.web.access import public

blueprint = Blueprint("downloads", __name__)


@blueprint.get("/<any(metadata, targets):area>/<path:name>")
@public
def download(area: str, name: str) -> Response:
    """Answer with a public file of the repository."""
    file = _open(f"{area}/{name}")
    try:
        return _response(file, answer(file.facts, request.method, request.headers.get))
    except BaseException:
        file.stream.close()
        raise


def _open(name: str) -> OpenFile:
    repository: PublicFolder = current_app.extensions["repository"]
    try:
        return repository.open(name)
    except FileNotFoundError as error:
        raise NotFound from error
    except OSError as error:
        # Never 404: to a client looking for the next root, that means there is none.
        current_app.logger.error("cannot open %s: %s", name, error)  # noqa: TRY400
        raise ServiceUnavailable from error


def _response(file: OpenFile, answer: FileResponse) -> Response:
    """The answer, which sends its part of the file and closes it in the end."""
    body = answer.body or None
    response = Response(body, answer.status, list(answer.headers), direct_passthrough=True)
    if answer.part is None:
        file.stream.close()
    elif _by_nginx(file):
        file.stream.close()
        _leave_to_nginx(response, file)
    else:
        section = Section(file.stream, answer.part.start, len(answer.part))
        response.response = wrap_file(request.environ, cast("IO[bytes]", section))
    return response


def _by_nginx(file: OpenFile) -> bool:
    """Return whether nginx sends the bytes.

    Not those of metadata: nginx keeps our answers for a second, and cannot keep what it was
    sent elsewhere for. Not to HEAD, where nginx would serve ranges, nor under ``If-Match``,
    which nginx compares with a tag of its own.
    """
    settings: ServerSettings = current_app.extensions["settings"]
    if not settings.accel or not file.facts.public.name.startswith("targets/"):
        return False
    return request.method == "GET" and "If-Match" not in request.headers


def _leave_to_nginx(response: Response, file: OpenFile) -> None:
    """Name the file in place of its bytes; nginx cuts out the range by our tag and date."""
    settings: ServerSettings = current_app.extensions["settings"]
    response.status_code = 200
    response.headers["X-Accel-Redirect"] = f"{settings.accel}/{file.found_at}"
    del response.headers["Content-Length"]
    del response.headers["Content-Range"]
