"""The embedded server's front: files answered from the event loop, the rest by Flask.

An RSGI application. Nothing it does in the loop waits for a client: granian reads files
piece by piece as fast as each client takes them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from werkzeug.exceptions import InternalServerError, NotFound, ServiceUnavailable

from patchserver.embedded.file_cache import FileCache, Loaded
from patchserver.embedded.wsgi_bridge import Bridge, RequestScope, Wire
from patchserver.files.public_files import PublicFolder
from patchserver.files.responses import FileResponse, answer, refusal
from patchserver.ops.metrics import Metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger("patchserver.embedded.front")
_READING = frozenset({"GET", "HEAD"})
_FILES = ("/metadata/", "/targets/")


class Front:
    """Answers what granian hands it."""

    def __init__(self, repository: PublicFolder, app: WSGIApplication, metrics: Metrics) -> None:
        self._files = FileCache(repository)
        self._bridge = Bridge(app)
        self._metrics = metrics

    async def __rsgi__(self, scope: RequestScope, wire: Wire) -> None:
        """Answer one request."""
        method, path = scope.method, scope.path
        try:
            if method in _READING and path.startswith(_FILES):
                self._metrics.count_file(path, self._send_file(method, path, scope, wire))
            else:
                _send(wire, await self._bridge.handle(scope, wire))
        except Exception:
            logger.exception("cannot answer %s %s", method, path[:200])
            _send(wire, refusal(InternalServerError()))

    def _send_file(self, method: str, path: str, scope: RequestScope, wire: Wire) -> int:
        """Answer, and return the status."""
        try:
            loaded = self._files.get(path[1:])
        except FileNotFoundError:
            return _send(wire, refusal(NotFound()))
        except OSError as error:
            # Never 404: to a client looking for the next root, that means there is none.
            logger.error("cannot open %s: %s", path[1:], error)  # noqa: TRY400 - no bug of ours
            return _send(wire, refusal(ServiceUnavailable()))
        found = answer(loaded.facts, method, scope.headers.get)
        return _send_loaded(wire, method, found, loaded)


def _send(wire: Wire, found: FileResponse) -> int:
    wire.response_bytes(found.status, _headers(found), found.body)
    return found.status


def _headers(found: FileResponse) -> list[tuple[str, str]]:
    """The answer's headers; granian would name itself."""
    return [*found.headers, ("Server", "patchserver")]


def _send_loaded(wire: Wire, method: str, found: FileResponse, loaded: Loaded) -> int:
    headers, part = _headers(found), found.part
    if part is None:
        wire.response_bytes(found.status, headers, found.body)
    elif method == "HEAD" or not part:
        wire.response_empty(found.status, headers)
    elif loaded.body is not None:
        wire.response_bytes(found.status, headers, loaded.body[part.start : part.stop])
    else:
        # granian opens the path again. It has no links in it, was checked a moment ago, and
        # only names whose bytes never change come here: what is put in place meanwhile is
        # the same content, or was put there by somebody who may write in the repository.
        # Bytes of another length would end the connection, for they were announced.
        wire.response_file_range(found.status, headers, loaded.path, part.start, part.stop)
    return found.status
