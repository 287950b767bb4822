"""Pages that show the state of an app, its releases, installs and failures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flask import Response, render_template, request, send_from_directory, url_for
from werkzeug.exceptions import BadRequest, NotFound

from patchserver.accounts.users import Role
from patchserver.dashboard.channel_pages import offers_of
from patchserver.dashboard.chart import HEIGHT, WIDTH, chart
from patchserver.dashboard.offers import Offered
from patchserver.dashboard.published_apps import app_named, published
from patchserver.database.tables import Event, Halt
from patchserver.publishing.published_state import App
from patchserver.publishing.signer import RoleStatus
from patchserver.rollouts.failure_groups import groups
from patchserver.rollouts.version_counts import DAY, Active, active, version_counts
from patchserver.services import services
from patchserver.web.access import public, signed_in

STATIC = Path(__file__).parent / "static"
PERIODS = (30, 90)
"""Days of a chart."""
FAILED_DAYS = 30
HALTS_DAYS = 30
EVENTS = 50
"""On a page of the log."""


@dataclass(frozen=True)
class Channel:
    """A channel, in short."""

    name: str
    offers: list[Offered]


@dataclass(frozen=True)
class Summary:
    """An app, in short."""

    app: App
    channels: list[Channel]
    active: list[Active]

    @property
    def installs(self) -> int:
        """Return the number of active installs."""
        return sum(one.installs for one in self.active)


@public
def static(name: str) -> Response:
    """Style and script: the same for everybody."""
    response = send_from_directory(STATIC, name)
    response.headers["Cache-Control"] = "no-cache"  # asked for again, and rarely sent again
    return response


@signed_in(Role.VIEWER)
def index() -> str:
    """All apps."""
    seen, now = published(), services().clock()
    return render_template(
        "dashboard/index.html",
        summaries=[_summary(app) for app in seen.apps.values()],
        warnings=_warnings(seen.statuses),
        now=now,
    )


@signed_in(Role.VIEWER)
def overview(app: str) -> str:
    """One app."""
    known, now = app_named(app), services().clock()
    roles = {f"app.{app}", f"channels.{app}", "root", "targets", "snapshot", "timestamp"}
    return render_template(
        "dashboard/overview.html",
        summary=_summary(known),
        app=known,
        warnings=_warnings(s for s in published().statuses if s.role in roles),
        halts=_halts(known, now),
        now=now,
    )


@signed_in(Role.VIEWER)
def releases(app: str) -> str:
    """Show the published releases."""
    return render_template("dashboard/releases.html", app=app_named(app))


@signed_in(Role.VIEWER)
def adopted(app: str) -> str:
    """Show which versions were in use, over time."""
    known, days = app_named(app), request.args.get("days", PERIODS[0], int)
    if days not in PERIODS:
        raise BadRequest
    found = version_counts(services().database, app, services().clock(), days)
    return render_template(
        "dashboard/adoption.html",
        app=known,
        chart=chart(found),
        days=days,
        periods=PERIODS,
        width=WIDTH,
        height=HEIGHT,
    )


@signed_in(Role.VIEWER)
def failures(app: str) -> str:
    """Show failures, in groups."""
    known, release, now = app_named(app), request.args.get("release", ""), services().clock()
    found = groups(services().database, app, now - FAILED_DAYS * DAY, release)
    return render_template(
        "dashboard/failures.html",
        app=known,
        groups=found,
        release=release,
        days=FAILED_DAYS,
        now=now,
    )


@signed_in(Role.VIEWER)
def log() -> str:
    """Show the audit log."""
    app = request.args.get("app", "")
    events = services().audit.events(app=app, most=EVENTS + 1, before=_before())
    return render_template(
        "dashboard/log.html",
        events=events[:EVENTS],
        older=_older(app, events[EVENTS - 1]) if len(events) > EVENTS else "",
        apps=sorted(published().apps),
        chosen=app,
        now=services().clock(),
    )


def _summary(app: App) -> Summary:
    channels = [Channel(name, offers_of(app, name)) for name in app.heads]
    return Summary(app, channels, active(services().database, app.name, services().clock()))


def _warnings(statuses: Iterable[RoleStatus]) -> list[RoleStatus]:
    """Signatures that end soon, or have ended; the first to end first."""
    now = services().clock()
    found = [s for s in statuses if s.is_due or s.expires <= now]
    return sorted(found, key=lambda status: status.expires)


def _halts(app: App, now: int) -> list[Halt]:
    """The halts of the last weeks, newest first."""
    every = [h for channel in app.heads for h in services().rollouts.halts(app.name, channel)]
    recent = [halt for halt in every if halt.time >= now - HALTS_DAYS * DAY]
    return sorted(recent, key=lambda halt: halt.time, reverse=True)[:10]


def _before() -> int | None:
    """The number of the entry at which the page of newer ones ended."""
    text = request.args.get("before")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise NotFound
    return int(text)


def _older(app: str, last: Event) -> str:
    return url_for("dashboard.log", app=app or None, before=last.id)
