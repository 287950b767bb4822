"""``/api/v1``: for programs. JSON in, JSON out; see docs/server.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound, RequestEntityTooLarge

from patchserver.accounts.users import Scope
from patchserver.publishing.pushes import Missing, Push
from patchserver.services import services
from patchserver.web.access import actor, bearer, public
from updater.errors import FormatError
from updater.format.encoding.canonical import Record, read_json, within
from updater.format.encoding.limits import DEFAULT, KIB, MIB
from updater.format.head import Head, RolloutStep, parse_step
from updater.format.names import check_channel, check_version
from updater.format.reports import CHECKIN_BYTES, REPORT_BYTES, CheckIn, FailureReport

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
DOCUMENT_BYTES = 5_000_000
"""The most that a client takes of a role that lists targets, by python-tuf."""
PIECE_BYTES = 8 * MIB
ORDER_BYTES = 16 * KIB
T = TypeVar("T")
_DIGEST = re.compile("[0-9a-f]{64}")


class Malformed(FormatError):  # noqa: N818 - reads as what it says
    """A request that is not what its route takes."""


@blueprint.post("/checkins")
@public
def checkins() -> tuple[str, int]:
    """Store a check-in."""
    checkin = _parsed(CheckIn.parse, _body(CHECKIN_BYTES))
    _require_app(checkin.sender.app)
    services().ingest.checkin(checkin, request.remote_addr or "", services().clock())
    return "", 204


@blueprint.post("/reports")
@public
def reports() -> tuple[str, int]:
    """Store a report."""
    report = _parsed(FailureReport.parse, _body(REPORT_BYTES))
    _require_app(report.sender.app)
    services().ingest.report(report, request.remote_addr or "", services().clock())
    return "", 204


@blueprint.post("/apps/<app>/pushes")
@bearer(Scope.PUBLISH)
def announce(app: str) -> tuple[Response, int]:
    """Begin a push, or see how far it is."""
    push = services().pushes.announce(app, _base(), _body(DOCUMENT_BYTES))
    return jsonify(_push(push)), 200 if push.is_published else 201


@blueprint.patch("/apps/<app>/pushes/<push>/blobs/<digest>")
@bearer(Scope.PUBLISH)
def receive(app: str, push: str, digest: str) -> Response:
    """Take the next bytes of a file."""
    offset = _number(request.headers.get("Upload-Offset", ""))
    received = services().pushes.receive(app, push, digest, offset, _body(PIECE_BYTES))
    return Response(status=204, headers={"Upload-Offset": str(received)})


@blueprint.post("/apps/<app>/pushes/<push>/publish")
@bearer(Scope.PUBLISH)
def publish(app: str, push: str) -> Response:
    """Let clients see a push."""
    with services().audit.change(actor(), "publish", app, f"push {push[:12]}", services().clock()):
        version = services().pushes.publish(app, push)
    return jsonify(version=version)


@blueprint.get("/apps/<app>/channels")
@bearer(Scope.PROMOTE)
def channels(app: str) -> Response:
    """Answer with the heads of an app's channels."""
    heads = services().signer.heads(app)
    return jsonify(channels={channel: head.to_json() for channel, head in heads.items()})


@blueprint.post("/apps/<app>/channels/<channel>/promote")
@bearer(Scope.PROMOTE)
def promote(app: str, channel: str) -> Response:
    """Let a channel offer a version."""
    record = _order()
    version = _named(record)
    steps: tuple[RolloutStep, ...] = ()
    if record.has("steps"):
        steps = record.items("steps", parse_step, DEFAULT.rollout_steps)
    record.end()
    return _answer(services().rollouts.promote(actor(), app, channel, version, steps))


@blueprint.post("/apps/<app>/channels/<channel>/pause")
@bearer(Scope.PROMOTE)
def pause(app: str, channel: str) -> Response:
    """Let a channel offer a version to nobody for now."""
    return _answer(services().rollouts.pause(actor(), app, channel, _version()))


@blueprint.post("/apps/<app>/channels/<channel>/resume")
@bearer(Scope.PROMOTE)
def resume(app: str, channel: str) -> Response:
    """Go on with a version that was paused."""
    return _answer(services().rollouts.resume(actor(), app, channel, _version()))


def _answer(head: Head) -> Response:
    return jsonify(head=head.to_json())


def _push(push: Push) -> dict[str, Any]:
    return {
        "id": push.id,
        "version": push.version,
        "missing": [_missing(one) for one in push.missing],
        "published": push.is_published,
    }


def _missing(missing: Missing) -> dict[str, Any]:
    return dict(vars(missing))


def _body(most: int) -> bytes:
    """The body of the request, bounded before it is read."""
    request.max_content_length = most
    data = request.get_data(cache=False)
    if len(data) > most:
        raise RequestEntityTooLarge
    return data


def _order() -> Record:
    return _parsed(lambda data: Record(read_json(data, ORDER_BYTES)), _body(ORDER_BYTES))


def _parsed(parse: Callable[[bytes], T], data: bytes) -> T:
    """Read a request.

    Raises:
        Malformed: it makes no sense, and never will.
    """
    try:
        return parse(data)
    except FormatError as error:
        raise Malformed(str(error), hint="see docs/server.md") from error


def _version() -> str:
    record = _order()
    version = _named(record)
    record.end()
    return version


def _named(record: Record) -> str:
    """The version that is named, before anything is written down of it."""
    return within("version", check_version, record.text("version"))


def _base() -> int:
    """The version that ``If-Match`` names, in the quotes HTTP wants."""
    return _number(request.headers.get("If-Match", "").strip('"'))


def _number(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 15:
        raise BadRequest
    return int(text)


@blueprint.before_request
def _require_names() -> None:
    """Refuse names of nothing, before one becomes part of a path; who asks may ask."""
    named = request.view_args or {}
    if "app" in named:
        _require_app(named["app"])
    if "channel" in named:
        check_channel(named["channel"])
    if not all(_DIGEST.fullmatch(named[name]) for name in ("push", "digest") if name in named):
        raise NotFound


def _require_app(app: str) -> None:
    if app not in services().published.look(services().signer).apps:
        raise NotFound
